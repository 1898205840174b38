// The panel "Generate": a stream of tokens, each tinted by how much it surprised the model.

import { bars } from "./bars.js";
import { field, fill, h, shown } from "./dom.js";
import { number, percent, t } from "./language.js";
import { stream } from "./server.js";
import { lastCall } from "./snippets.js";
import { kept, modelChoice, notice, slider } from "./widgets.js";

const OPENING = "It was a dark and stormy night";
/** The surprise, in nats, that has the deepest tint. */
const DEEPEST = 8;

export function generate({ models }) {
  const prompt = h("textarea", { class: "page-text", rows: "2", spellcheck: "false", value: kept("generate.text") ?? OPENING });
  const choice = modelChoice(models, "generate.model");
  const temperature = slider({ key: "temperature", name: "generate.temperature", min: 0, max: 2, step: 0.05, value: 0.7 });
  const topK = slider({ key: "top_k", name: "generate.top_k", min: 0, max: 200, step: 1, value: 0, off: 0 });
  const topP = slider({ key: "top_p", name: "generate.top_p", min: 0.05, max: 1, step: 0.05, value: 1, off: 1 });
  const minP = slider({ key: "min_p", name: "generate.min_p", min: 0, max: 0.5, step: 0.01, value: 0, off: 0 });
  const length = slider({ key: "max_tokens", name: "generate.length", min: 10, max: 400, step: 10, value: 80 });
  const seed = h("input", { type: "text", inputmode: "numeric", hint: "seed_random", size: "14" });
  const start = h("button", { type: "submit", class: "main", t: "generate_start" });
  const stop = h("button", { type: "button", t: "generate_stop", disabled: true });
  const output = h("div", { class: "output", role: "group", label: "generate_output" });
  const detail = h("div", { class: "detail", "aria-live": "polite" });
  const summary = h("p", { class: "note summary", role: "status" });
  const problem = notice();
  let running = null;
  let seedUsed = null;

  const reuse = h("button", { type: "button", class: "quiet", t: "seed_reuse", hidden: true, onclick: () => (seed.value = String(seedUsed)) });

  const run = async (event) => {
    event.preventDefault();
    if (running) return;
    problem.clear();
    kept("generate.text", prompt.value);
    const body = request();
    if (!body) return;
    running = new AbortController();
    start.disabled = true;
    stop.disabled = false;
    fill(output, h("span", { class: "given" }, prompt.value));
    fill(detail, h("p", { class: "note", t: "generate_pick" }));
    summary.textContent = "";
    const begun = performance.now();
    const count = { tokens: 0, first: null };
    let reason = "cancelled";
    try {
      for await (const { event: kind, data } of stream("v1/generate", { panel: "generate", body, signal: running.signal })) {
        if (kind === "start") seedUsed = data.seed;
        if (kind === "token") {
          count.first ??= performance.now() - begun;
          count.tokens++;
          output.append(token(data));
        }
        if (kind === "done") {
          reason = data.choices[0].finish_reason;
          output.append(data.choices[0].text);
        }
        if (kind === "error") throw Object.assign(new Error(), { words: data.error.message });
      }
    } catch (error) {
      if (!running.signal.aborted) problem.show(error.words ?? String(error));
    } finally {
      running = null;
      start.disabled = false;
      stop.disabled = true;
      finished(count, performance.now() - begun, reason);
    }
  };

  const request = () => {
    const given = seed.value.trim();
    if (given && !/^[0-9]{1,16}$/.test(given)) {
      problem.show(t("seed_wrong"));
      return null;
    }
    const body = { model: choice.model().id, text: prompt.value, max_tokens: length.value(), temperature: temperature.value() };
    if (!prompt.value) delete body.text;
    for (const [name, value] of [["top_k", topK.value()], ["top_p", topP.value()], ["min_p", minP.value()]]) {
      if (value !== null) body[name] = value;
    }
    if (given) body.seed = Number(given);
    return { ...body, top_logprobs: 8, stream: true };
  };

  const token = (data) => {
    const surprise = Math.max(0, -data.logprob);
    const element = h("span", { class: "token", role: "button", tabindex: output.querySelector(".token") ? "-1" : "0" }, data.text);
    if (!data.text.trim()) element.setAttribute("aria-label", shown(data.text) || data.token);
    element.style.setProperty("--heat", String(Math.min(1, surprise / DEEPEST)));
    const look = () => alternatives(element, data);
    element.addEventListener("mouseenter", look);
    element.addEventListener("focus", look);
    element.addEventListener("click", look);
    element.addEventListener("keydown", (event) => move(element, event));
    return element;
  };

  /** The arrow keys lead from token to token. */
  const move = (element, event) => {
    const to = { ArrowRight: element.nextElementSibling, ArrowLeft: element.previousElementSibling }[event.key];
    if (!to?.classList.contains("token")) return;
    event.preventDefault();
    element.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  };

  const alternatives = (element, data) => {
    output.querySelector(".looked-at")?.classList.remove("looked-at");
    element.classList.add("looked-at");
    const entries = data.top_logprobs.map((entry) => ({ ...entry, prob: entry.prob ?? Math.exp(entry.logprob) }));
    const name = data.text.trim() || data.token;
    fill(detail, h("h3", { class: "caption" }, t("generate_alternatives", { token: name, share: percent(Math.exp(data.logprob)) })), bars(entries));
  };

  const finished = (count, milliseconds, reason) => {
    if (count.tokens === 0) return;
    summary.textContent = t("generate_summary", {
      tokens: number(count.tokens), rate: number(count.tokens / (milliseconds / 1000)), first: number(count.first, 1), seed: String(seedUsed),
      reason: t(`finish_${reason}`),
    });
    reuse.hidden = false;
  };

  stop.addEventListener("click", () => running?.abort());
  prompt.addEventListener("input", () => kept("generate.text", prompt.value));
  const element = h("form", { class: "generate", onsubmit: run },
    h("p", { class: "lead", t: "generate_lead" }),
    field("prompt", prompt),
    h("div", { class: "bar-of-controls" }, field("model", choice.element), field("seed", seed), h("span", { class: "buttons" }, start, stop)),
    h("div", { class: "sliders" }, [temperature, topK, topP, minP, length].map((one) => one.element)),
    problem.element,
    h("div", { class: "split" },
      h("div", {}, output, h("div", { class: "summary-line" }, summary, reuse),
        h("p", { class: "scale" }, h("span", { t: "surprise_low" }), h("i", { class: "ramp" }), h("span", { t: "surprise_high" }))),
      detail),
    lastCall("generate"));
  return { element, enter: () => {} };
}
