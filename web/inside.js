// The panel "Look inside": the state over a text, what each word did to a target, and how fast gradients vanish.

import { bars } from "./bars.js";
import { chart } from "./chart.js";
import { field, fill, h, shown } from "./dom.js";
import { heatMap } from "./heat.js";
import { percent, t } from "./language.js";
import { call } from "./server.js";
import { lastCall } from "./snippets.js";
import { statesAfterEach, tokensOf } from "./states.js";
import { guarded, inShort, kept, modelChoice, notice, place } from "./widgets.js";

const OPENING = "Tom was watching TV in his room. Mary came into the room. Mary said hi to";
const TOKENS_MAX = 64;
/** A neural cache with the defaults of the server. */
const CACHE = {};

export function inside({ models, info, hasCache }) {
  const recurrent = models.filter((model) => model.backend === "native" && model.cell);
  const text = h("textarea", { class: "page-text", rows: "2", spellcheck: "false", value: kept("inside.text") ?? OPENING });
  const choice = modelChoice(recurrent.length ? recurrent : models, "inside.model");
  const target = h("input", { type: "text", list: "inside-targets", hint: "target_hint", size: "12", autocomplete: "off" });
  const targets = h("datalist", { id: "inside-targets" });
  const gates = h("input", { type: "checkbox" });
  const cache = h("input", { type: "checkbox" });
  const button = h("button", { type: "submit", class: "main", t: "look" });
  const problem = notice();
  const picture = h("section", { class: "columns-frame", tabindex: "0", label: "inside_picture", hidden: true });
  const predicted = h("section", { hidden: true });
  const curves = h("section", { hidden: true });
  let maps = [];
  let seen = null;

  const look = guarded(button, problem, async () => {
    kept("inside.text", text.value);
    const model = choice.model();
    const pieces = await tokensOf(model, text.value);
    const most = Math.min(TOKENS_MAX, info.limits.max_requests, info.limits.max_explain_tokens);
    if (pieces.length === 0) throw { words: t("inside_empty") };
    if (pieces.length > most) throw { words: t("inside_long", { found: pieces.length, most }) };
    const ids = pieces.map((piece) => piece.id);
    const { layers, next } = await statesAfterEach(model, ids, cache.checked ? { cache: CACHE } : {});
    const explained = await explain(model, ids);
    seen = { layers, explained, next, words: written(text.value, pieces), lags: await lags(text.value) };
    show();
  });

  const explain = (model, ids) => {
    const body = { model: model.id, tokens: ids };
    if (target.value.trim()) body.target = target.value.trim();
    return call(`v1/explain${gates.checked ? "?gates=true" : ""}`, { panel: "inside", body });
  };

  /** The gradient by lag, of every model that reads the same tokens and can be explained. */
  const lags = async (whole) => {
    const { tokenizer_sha256: tokenizer } = choice.model();
    const native = models.filter((model) => model.backend === "native" && model.tokenizer_sha256 === tokenizer);
    const answers = native.map(async (model) => {
      try {
        const body = { model: model.id, text: whole };
        if (target.value.trim()) body.target = target.value.trim();
        return { model, ...(await call("v1/explain", { body })).gradient_by_lag };
      } catch {
        return null;
      }
    });
    return (await Promise.all(answers)).filter(Boolean);
  };

  const show = () => {
    const { layers, explained, next, words } = seen;
    fill(targets, next.distribution.map((entry) => h("option", { value: shown(entry.text).trim() })));
    place(predicted, h("h2", { class: "caption" }, t("inside_next")), bars(next.distribution.slice(0, 5)));
    const layered = layers.map(({ name, steps }) => ({ title: `${name[0]} · ${t("layer", { number: Number(name.slice(3)) + 1 })}`, steps, words }));
    maps = [...layered, ...gateMaps(explained, words)].map(heatMap);
    const grid = h("div", { class: "columns" }, saliency(explained.tokens), words.map((word, index) => h("span", { class: "column-word" }, explained.tokens[index].unknown ? h("mark", {}, word) : word)),
      maps.map((map) => map.element));
    grid.style.setProperty("--columns", String(words.length));
    const found = { target: shown(explained.target.text || explained.target.token), share: percent(explained.target.prob) };
    place(picture, h("h2", { class: "caption" }, t("inside_saliency", found)), grid);
    maps.forEach((map) => map.draw());
    place(curves, lagChart());
  };

  const lagChart = () => {
    const series = seen.lags.flatMap(({ model, input }) => {
      const points = input.map((value, lag) => [lag, value]).filter((point) => point[1] !== null && point[1] > 1e-12);
      return [{ name: `${model.id} · ${inShort(model)}`, colour: models.indexOf(model) % 7, points }];
    });
    return chart({ series, title: t("inside_lags"), x: t("lag"), y: t("gradient_norm"), log: true });
  };

  const form = h("form", { onsubmit: look },
    field("text", text),
    h("div", { class: "bar-of-controls" }, field("model", choice.element), field("target", target), targets,
      h("label", { class: "check" }, gates, h("span", { t: "gates" })),
      hasCache ? h("label", { class: "check" }, cache, h("span", { t: "cache" })) : null,
      button));
  for (const control of [choice.element, gates, cache, target]) control.addEventListener("change", () => form.requestSubmit());
  document.addEventListener("language", () => seen && show());
  document.addEventListener("theme", () => maps.forEach((map) => map.draw()));

  const element = h("div", { class: "inside" }, h("p", { class: "lead", t: "inside_lead" }), form, problem.element,
    picture, h("p", { class: "note", t: "inside_note" }), h("div", { class: "two" }, predicted, curves), lastCall("inside"));
  return { element, enter: () => seen ?? form.requestSubmit() };
}

/** What was written for each token: an unknown word as it stands in the text. */
function written(text, pieces) {
  const characters = Array.from(text);
  return pieces.map((piece) => shown(piece.unknown ? characters.slice(piece.start, piece.end).join("") : piece.text || piece.token));
}

/** A column for each token: up for what raised the target's log-probability, down for what lowered it. */
function saliency(tokens) {
  const largest = Math.max(...tokens.map((token) => Math.abs(token.saliency)), 1e-12);
  return tokens.map((token) => {
    const bar = h("i", { class: token.saliency < 0 ? "down" : "up" });
    bar.style.setProperty("--size", String(Math.abs(token.saliency) / largest));
    return h("span", { class: "saliency", title: token.saliency.toFixed(4) }, bar);
  });
}

/** The gates of each layer over the text, if they were asked for. */
function gateMaps({ tokens }, words) {
  const layers = tokens[0].gates ?? [];
  return layers.flatMap((gates, layer) =>
    Object.keys(gates).map((gate) => ({
      title: `${t(`gate_${gate}`)} · ${t("layer", { number: layer + 1 })}`,
      steps: tokens.map((token) => token.gates[layer][gate]),
      words,
      signed: gate === "candidate",
    })));
}
