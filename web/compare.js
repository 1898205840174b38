// The panel "Compare": one text through several models.

import { bars } from "./bars.js";
import { chart } from "./chart.js";
import { field, h } from "./dom.js";
import { number, t } from "./language.js";
import { call } from "./server.js";
import { lastCall } from "./snippets.js";
import { tokensOf } from "./states.js";
import { guarded, inShort, kept, notice, place } from "./widgets.js";

const OPENING = "The old man looked at the sea for a long time. Then he turned to his wife and said that he would not go to the";
const CONTEXTS = [1, 2, 3, 5, 8, 12];
const TOKENS_MAX = 40;
/** The surprise, in nats, that has the deepest tint. */
const DEEPEST = 8;

export function compare({ models, info }) {
  const text = h("textarea", { class: "page-text", rows: "3", spellcheck: "false", value: kept("compare.text") ?? OPENING });
  const usual = models.find((model) => model.default) ?? models[0];
  const comparable = models.filter((model) => model.tokenizer_sha256 === usual.tokenizer_sha256);
  const boxes = models.map((model) => {
    const box = h("input", { type: "checkbox", checked: comparable.includes(model) });
    return { model, box, element: h("label", { class: "check" }, box, model.id) };
  });
  const button = h("button", { type: "submit", class: "main", t: "compare_start" });
  const problem = notice();
  const cards = h("div", { class: "cards", hidden: true });
  const curve = h("section", { hidden: true });
  let seen = null;

  const run = guarded(button, problem, async () => {
    kept("compare.text", text.value);
    const chosen = boxes.filter((one) => one.box.checked).map((one) => one.model);
    if (chosen.length === 0) throw { words: t("compare_none") };
    if (!text.value.trim()) throw { words: t("inside_empty") };
    seen = [];
    for (const model of chosen) {
      seen.push({ model, curve: [], ...(await measured(model, text.value)) });
      show();
    }
    for (const one of seen) {
      one.curve = await byContext(one.model, text.value, info.limits);
      show();
    }
  });

  const show = () => {
    place(cards, seen.map(card));
    const series = seen.filter((one) => one.curve.length > 1)
      .map(({ model, curve: points }) => ({ name: model.id, colour: models.indexOf(model) % 7, points }));
    place(curve, series.length ? [chart({ series, title: t("compare_contexts"), x: t("context_length"), y: t("perplexity"), ordinal: true })] : []);
  };

  const form = h("form", { onsubmit: run },
    field("text", text),
    h("fieldset", { class: "checks" }, h("legend", { t: "models" }), boxes.map((one) => one.element)),
    h("div", { class: "bar-of-controls" }, button));
  document.addEventListener("language", () => seen && show());
  const element = h("div", { class: "compare" }, h("p", { class: "lead", t: "compare_lead" }), form, problem.element, cards, curve,
    h("p", { class: "note", t: "compare_note" }), lastCall("compare"));
  return { element, enter: () => seen ?? form.requestSubmit() };
}

/** What follows the text, and how the text is scored. */
async function measured(model, text) {
  const [next, score] = await Promise.all([
    call("v1/next", { panel: "compare", body: { model: model.id, text, top_k: 5 } }),
    call("v1/score", { panel: "compare", body: { model: model.id, texts: [text], token_logprobs: true } }),
  ]);
  return { next, score: score.results[0] };
}

/** The perplexity of the text's tokens, each after only so many tokens before it: `[[length, perplexity]]`. */
async function byContext(model, text, limits) {
  const ids = (await tokensOf(model, text)).map((piece) => piece.id).slice(0, Math.min(TOKENS_MAX, limits.max_requests + 1));
  const lengths = CONTEXTS.filter((length) => length < ids.length);
  const points = [];
  for (const length of lengths) {
    const requests = ids.slice(1).map((id, index) => ({
      model: model.id, tokens: ids.slice(Math.max(0, index + 1 - length), index + 1), candidates: [id], top_k: 1,
    }));
    const { responses } = await call("v1/next", { body: { requests } });
    const logprobs = responses.map((response) => response.candidates[0].logprob);
    points.push([length, Math.exp(-logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length)]);
  }
  return points;
}

function card({ model, next, score }) {
  const figure = (key, value, digits) => h("div", { class: "figure" }, h("strong", {}, value === null ? "–" : number(value, digits)), h("span", {}, t(key)));
  return h("article", { class: "card" },
    h("h2", {}, model.id, h("small", {}, inShort(model))),
    h("div", { class: "figures" }, figure("perplexity", score.perplexity, 1), figure("bits_per_char", score.bits_per_char, 2)),
    h("p", { class: "surprises" }, score.token_logprobs.map((token) => {
      const element = h("span", { class: "token", title: token.logprob === null ? "" : token.logprob.toFixed(3) }, token.text);
      element.style.setProperty("--heat", String(Math.min(1, Math.max(0, -(token.logprob ?? 0)) / DEEPEST)));
      return element;
    })),
    bars(next.distribution));
}
