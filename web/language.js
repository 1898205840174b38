// The language of the page: one dictionary for each, and the text of every element that names a key.

import en from "./en.js";
import ja from "./ja.js";

const DICTIONARIES = { en, ja };

const preferred = navigator.languages?.find((tag) => tag.slice(0, 2) in DICTIONARIES) ?? "en";

let current = localStorage.getItem("language") ?? preferred.slice(0, 2);
if (!(current in DICTIONARIES)) current = "en";

/** The code of the current language. */
export function language() {
  return current;
}

/** The text for `key`, with `{names}` replaced by `values`. */
export function t(key, values = {}) {
  const text = DICTIONARIES[current][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** Whether the dictionaries have an entry for `key`. */
export function hasText(key) {
  return key in en;
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return value.toLocaleString(current, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A probability as a percentage with three significant digits. */
export function percent(probability) {
  const value = probability * 100;
  if (value < 0.01) return "<0.01%";
  return `${value.toLocaleString(current, { maximumSignificantDigits: value < 1 ? 2 : 3 })}%`;
}

/** Sets the texts of one element. */
export function translate(element) {
  if (element.dataset.t) element.textContent = t(element.dataset.t);
  if (element.dataset.tLabel) element.setAttribute("aria-label", t(element.dataset.tLabel));
  if (element.dataset.tHint) element.setAttribute("placeholder", t(element.dataset.tHint));
}

function translateAll() {
  document.documentElement.lang = current;
  document.querySelectorAll("[data-t], [data-t-label], [data-t-hint]").forEach(translate);
}

/** Changes to the next language, and tells the panels. */
export function nextLanguage() {
  const codes = Object.keys(DICTIONARIES);
  current = codes[(codes.indexOf(current) + 1) % codes.length];
  localStorage.setItem("language", current);
  translateAll();
  document.dispatchEvent(new Event("language"));
}

translateAll();
