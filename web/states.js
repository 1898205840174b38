// The states of a model after each token of a text, read out of the files that the API returns.

import { call } from "./server.js";

/** The tokens of a text. */
export async function tokensOf(model, text) {
  return (await call("v1/tokenize", { body: { model: model.id, text } })).pieces;
}

/**
 * The state after each of `ids`, and the distribution after the last. Answers `{layers, next}`: `layers` are `{name, steps}`, `steps` one
 * array of values for each token; none for a model without recurrent layers.
 */
export async function statesAfterEach(model, ids, cache) {
  const requests = ids.map((_, index) => ({ model: model.id, tokens: ids.slice(0, index + 1), top_k: 8, return_state: true, ...cache }));
  const { responses } = await call("v1/next", { panel: "inside", body: { requests } });
  const failed = responses.find((response) => response.error);
  if (failed) throw Object.assign(new Error(failed.error.message), { words: failed.error.message });
  const files = responses.map((response) => vectorsOf(response.state));
  const names = [...files[0].keys()].filter((name) => /^[hc]_l\d+$/.test(name)).sort((a, b) => order(a) - order(b));
  const layers = names.map((name) => ({ name, steps: files.map((file) => file.get(name)) }));
  return { layers, next: responses.at(-1) };
}

/** By layer, and within a layer h before c. */
function order(name) {
  return Number(name.slice(3)) * 2 + (name[0] === "c" ? 1 : 0);
}

/** The vectors of a state file, which is in the format safetensors and here in base64. */
function vectorsOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const vectors = new Map();
  for (const [name, tensor] of Object.entries(header)) {
    if (tensor.dtype !== "F32") continue;
    const [from, to] = tensor.data_offsets.map((offset) => 8 + length + offset);
    vectors.set(name, new Float32Array(bytes.slice(from, to).buffer));
  }
  return vectors;
}
