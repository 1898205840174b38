// A distribution as bars. The longest bar is the most likely entry; the others are in proportion to it.

import { h, shown } from "./dom.js";
import { number, percent, t } from "./language.js";

/**
 * A list of bars for `entries` of `{text, prob, logprob, rank?, unknown?}`. With `take`, each is a button that calls it with the entry; the
 * `first` says on its bar which key takes it.
 */
export function bars(entries, { take, first, names } = {}) {
  const largest = Math.max(...entries.map((entry) => entry.prob), 1e-12);
  const items = entries.map((entry, index) => {
    const bar = h("span", { class: "bar" });
    bar.style.setProperty("--share", String(entry.prob / largest));
    const key = index === 0 && first ? h("kbd", {}, first) : null;
    const row = h(take ? "button" : "div", {
      class: "bar-row",
      type: take ? "button" : null,
      title: title(entry),
      onclick: take ? () => take(entry) : null,
    }, word(entry), h("span", { class: "track" }, bar), h("span", { class: "share" }, percent(entry.prob)), key);
    return h("li", {}, row);
  });
  return h("ol", { class: "bars", "aria-label": names ?? t("bars") }, items);
}

function word(entry) {
  if (entry.unknown || entry.token === "<unk>") return h("span", { class: "word odd" }, t("unknown_word"));
  const text = shown(entry.text === "" ? entry.token ?? "" : entry.text);
  return h("span", { class: text === "↵" ? "word odd" : "word" }, text);
}

function title(entry) {
  const rank = entry.rank ? `${t("rank")} ${number(entry.rank)} · ` : "";
  return `${rank}${t("probability")} ${entry.prob.toPrecision(3)} · ${t("logprob")} ${entry.logprob.toFixed(3)}`;
}
