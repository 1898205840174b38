// Elements, in one call each. Text always enters as a text node, so nothing that a model writes is read as markup.

import { translate } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element. `t`, `label` and `hint` are keys of the dictionary: for its text, its name to a screen reader, its placeholder. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** An element of SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "t") element.dataset.t = value;
    else if (name === "label") element.dataset.tLabel = value;
    else if (name === "hint") element.dataset.tHint = value;
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  if (properties.t || properties.label || properties.hint) translate(element);
  return element;
}

/** Puts `children` in the place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** A field with its label above it. */
export function field(key, input, note) {
  return h("label", { class: "field" }, h("span", { t: key }), input, note);
}

/** What a token looks like where white space must be seen. */
export function shown(text) {
  return text.replace(/\n/g, "↵").replace(/^ $/, "␣").replace(/^ /, "");
}
