// The panel "Write": a text, and what comes next, after every key.

import { bars } from "./bars.js";
import { field, fill, h } from "./dom.js";
import { t } from "./language.js";
import { call, events, Failure, isAway } from "./server.js";
import { lastCall } from "./snippets.js";
import { divided, Typist } from "./typing.js";
import { kept, modelChoice, notice } from "./widgets.js";

const SHOWN = 8;
const OPENING = "The old man looked at the ";

export function write({ models, info }) {
  const text = h("textarea", {
    id: "write-text", class: "page-text", rows: "4", spellcheck: "false", autocapitalize: "sentences", label: "write_text",
    "aria-describedby": "write-keys", value: kept("write.text") ?? OPENING,
  });
  const marks = h("div", { class: "marks", "aria-hidden": "true" });
  const heading = h("h2", { class: "caption", "aria-live": "polite" });
  const list = h("div", { class: "write-bars" });
  const problem = notice();
  const choice = modelChoice(models, "write.model");
  let typist = null;
  let suggested = [];
  /** The text that the list belongs to; null if it must be asked for anew. */
  let asked = null;
  let busy = false;
  let escaped = false;

  const open = () => {
    typist?.close();
    typist = new Typist(choice.model(), info.limits);
    asked = null;
    follow();
  };

  /** Asks for what follows the text before the cursor, until the answer is that of the latest text. */
  const follow = async () => {
    kept("write.text", text.value);
    mirror();
    if (busy || isAway()) return;
    busy = true;
    list.setAttribute("aria-busy", "true");
    try {
      for (let now = before(); now !== asked; now = before()) {
        const follower = typist;
        const answer = await follower.follow(now, SHOWN);
        if (follower !== typist) continue;
        asked = now;
        problem.clear();
        show(answer);
        if (answer.unknown > 0 || unknown.length > 0) await mark();
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.code !== "unreachable") problem.show(error.words);
      asked = null;
    } finally {
      busy = false;
      list.setAttribute("aria-busy", "false");
    }
  };

  const before = () => text.value.slice(0, text.selectionEnd);

  const show = ({ kind, entries, prefix }) => {
    suggested = entries;
    const typed = prefix.trim();
    heading.textContent = t(`write_${kind}`, { typed });
    fill(list, bars(entries, { take, first: "Tab", names: heading.textContent }));
  };

  /** Takes an entry of the list: what completes the half-typed word, or the next word. */
  const take = (entry) => {
    const head = before();
    const tail = text.value.slice(head.length);
    const { prefix } = divided(head);
    let joined;
    if (entry.append !== undefined) {
      const typed = prefix.trimStart();
      joined = `${head.slice(0, head.length - typed.length)}${entry.text} `;
    } else if (entry.text === "\n") {
      joined = `${head.trimEnd()}\n`;
    } else {
      const hasSpace = /^\s/.test(entry.text);
      const base = hasSpace || typist.isOfWords ? head.trimEnd() : head;
      joined = `${base}${base === "" ? entry.text.trimStart() : entry.text}${typist.isOfWords ? " " : ""}`;
    }
    text.value = joined + tail;
    text.setSelectionRange(joined.length, joined.length);
    text.focus();
    follow();
  };

  /** The words that the model does not know, as `[start, end]` in the text. */
  let unknown = [];
  const mark = async () => {
    const { finished } = divided(text.value);
    if (!finished) {
      unknown = [];
      return mirror();
    }
    const { pieces } = await call("v1/tokenize", { body: { model: choice.model().id, text: finished } });
    // The places count characters; an index of JavaScript counts halves of some of them.
    const offsets = [0];
    for (const character of finished) offsets.push(offsets.at(-1) + character.length);
    unknown = pieces.filter((piece) => piece.unknown).map((piece) => [offsets[piece.start], offsets[piece.end]]);
    mirror();
  };

  /** Writes the text again behind the field, with the unknown words underlined. */
  const mirror = () => {
    const parts = [];
    let at = 0;
    for (const [start, end] of unknown.filter((range) => range[1] <= text.value.length)) {
      parts.push(text.value.slice(at, start), h("mark", {}, text.value.slice(start, end)));
      at = end;
    }
    fill(marks, ...parts, `${text.value.slice(at)}\n`);
    marks.scrollTop = text.scrollTop;
    unknownNote.hidden = unknown.length === 0;
  };
  const unknownNote = h("p", { class: "note", hidden: true }, h("mark", { t: "write_unknown_mark" }), " ", h("span", { t: "write_unknown" }));

  text.addEventListener("input", follow);
  text.addEventListener("click", follow);
  text.addEventListener("keyup", (event) => event.key.startsWith("Arrow") && follow());
  text.addEventListener("scroll", () => (marks.scrollTop = text.scrollTop));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") escaped = true;
    else if (event.key === "Tab" && !event.shiftKey && !escaped && suggested.length > 0) {
      event.preventDefault();
      if (asked === before()) take(suggested[0]);
    } else if (event.key !== "Tab" && event.key !== "Shift") escaped = false;
  });
  text.addEventListener("blur", () => (escaped = false));
  choice.element.addEventListener("change", open);
  document.addEventListener("language", () => { asked = null; follow(); });
  events.addEventListener("back", () => { asked = null; follow(); });
  window.addEventListener("pagehide", () => typist?.close());

  const clear = h("button", { type: "button", class: "quiet", t: "clear", onclick: () => {
    text.value = "";
    unknown = [];
    text.focus();
    follow();
  } });

  const element = h("div", { class: "write" },
    h("p", { class: "lead", t: "write_lead" }),
    h("div", { class: "bar-of-controls" }, field("model", choice.element), clear),
    h("div", { class: "sheet" }, marks, text),
    h("p", { id: "write-keys", class: "note", t: "write_keys" }),
    problem.element, unknownNote, heading, list, lastCall("write"));
  return { element, enter: () => {
    if (!typist) {
      text.setSelectionRange(text.value.length, text.value.length);
      open();
    }
  } };
}
