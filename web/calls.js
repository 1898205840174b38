// The panel "API": the latest calls of the page, to repeat them elsewhere.

import { fill, h } from "./dom.js";
import { number, t } from "./language.js";
import { events, latestCalls, urlOf } from "./server.js";
import { snippets } from "./snippets.js";

const ANSWER_MAX = 6000;

export function calls() {
  const list = h("ol", { class: "calls" });
  const element = h("div", { class: "api" },
    h("p", { class: "lead", t: "api_lead" }),
    h("p", {}, h("span", { t: "api_base" }), " ", h("code", {}, urlOf("")), " · ", h("a", { href: "docs/", t: "foot_docs" })),
    list);
  const isShown = () => !element.closest("[hidden]");
  const show = () => fill(list, latestCalls().length ? latestCalls().map(entry) : h("li", { class: "note", t: "api_none" }));
  events.addEventListener("call", () => isShown() && !list.querySelector("details[open]") && show());
  return { element, enter: show };
}

function entry(call) {
  const details = h("details", {}, h("summary", {}, h("span", { class: call.status < 400 ? "status" : "status bad" }, String(call.status)), " ",
    h("code", {}, `${call.method} /${call.path}`), h("span", { class: "took" }, ` ${t(`tab_${call.panel}`)} · ${number(call.milliseconds, 1)} ms`)));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    details.append(snippets(call));
    if (call.answer) details.append(h("h3", { class: "caption" }, t("api_answer")), h("pre", { class: "answer", tabindex: "0" }, laidOut(call.answer)));
  });
  return h("li", {}, details);
}

function laidOut(answer) {
  const text = typeof answer === "string" ? answer : JSON.stringify(answer, null, 2);
  return text.length > ANSWER_MAX ? `${text.slice(0, ANSWER_MAX)}\n…` : text;
}
