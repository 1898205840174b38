// Small parts that several panels use.

import { fill, h } from "./dom.js";
import { t } from "./language.js";

/** What this tab remembers under a name, over a reload. With a value, remembers it. */
export function kept(name, value) {
  if (value === undefined) return sessionStorage.getItem(name);
  sessionStorage.setItem(name, value);
  return value;
}

/** A place for the words of an error. */
export function notice() {
  const element = h("p", { class: "problem", role: "alert", hidden: true });
  return {
    element,
    show: (words) => {
      element.textContent = words;
      element.hidden = false;
    },
    clear: () => (element.hidden = true),
  };
}

/** A choice among models, remembered by the tab. */
export function modelChoice(models, name) {
  const element = h("select", {}, models.map((model) => h("option", { value: model.id }, model.id)));
  const usual = models.find((model) => model.default) ?? models[0];
  element.value = models.some((model) => model.id === kept(name)) ? kept(name) : usual.id;
  element.addEventListener("change", () => kept(name, element.value));
  return { element, model: () => models.find((model) => model.id === element.value) };
}

/** What a model is, in a few words: `LSTM 512 · 16,000 words`. */
export function inShort(model) {
  const cell = model.cell ? model.cell.replace("rnn_", "RNN ").toUpperCase().replace("RNN TANH", "RNN tanh") : t("no_recurrence");
  return model.hidden_sizes.length ? `${cell} ${model.hidden_sizes.join("+")}` : cell;
}

/** A slider with its value beside it. `read` turns its position into the value that is sent, or null for none. */
export function slider({ key, name, min, max, step, value, off }) {
  const input = h("input", { type: "range", id: name, min, max, step, value: kept(name) ?? String(value) });
  const output = h("output", { for: name, "aria-hidden": "true" });
  const current = () => (off !== undefined && Number(input.value) === off ? null : Number(input.value));
  const show = () => {
    output.textContent = current() === null ? t("off") : input.value;
    input.setAttribute("aria-valuetext", output.textContent);
    kept(name, input.value);
  };
  input.addEventListener("input", show);
  document.addEventListener("language", show);
  show();
  return { element: h("div", { class: "slider" }, h("label", { for: name, t: key }), output, input), value: current };
}

/** Runs an action at a time: while one runs, the button is not usable, and an error is shown in words. */
export function guarded(button, problem, action) {
  return async (event) => {
    event?.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    problem.clear();
    try {
      await action();
    } catch (error) {
      problem.show(error.words ?? String(error));
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  };
}

/** Puts a figure into its place, or says that there is nothing. */
export function place(element, ...children) {
  fill(element, ...children);
  element.hidden = children.length === 0;
}
