// A call as a person would repeat it: with curl, and in Python.

import { h } from "./dom.js";
import { key } from "./key.js";
import { t } from "./language.js";
import { events, urlOf } from "./server.js";

/** The call as a shell command. */
export function curl({ method, path, body }) {
  const streams = body?.stream ? "N" : "";
  const lines = [`curl -s${streams} ${quoted(urlOf(path))}`];
  if (method !== "GET" && !(method === "POST" && body)) lines[0] = `curl -s -X ${method} ${quoted(urlOf(path))}`;
  if (key()) lines.push(`  -H "authorization: Bearer $KEY"`);
  if (body) lines.push(`  -H 'content-type: application/json'`, `  -d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n");
}

/** The call in Python, with the package requests. */
export function python({ method, path, body }) {
  const json = body ? `, json=${literal(body)}` : "";
  // The key itself stays out of what is copied and shown.
  const argument = key() ? `${json}, headers={"authorization": f"Bearer {key}"}` : json;
  const call = `requests.${method.toLowerCase()}(${JSON.stringify(urlOf(path))}${argument}`;
  if (!body?.stream) return `import requests\n\nanswer = ${call})\nprint(answer.json())`;
  return `import requests\n\nwith ${call}, stream=True) as answer:\n    for line in answer.iter_lines(decode_unicode=True):\n        print(line)`;
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`).join(", ")}}`;
}

/** A call in both forms, each with a button that copies it. */
export function snippets(call) {
  return h("div", { class: "snippets" }, snippet("curl", curl(call)), snippet("Python", python(call)));
}

function snippet(name, text) {
  const copy = h("button", { type: "button", class: "quiet", t: "copy" });
  copy.addEventListener("click", async () => {
    copy.textContent = t((await copied(text)) ? "copied" : "copy_failed");
    setTimeout(() => (copy.textContent = t("copy")), 1500);
  });
  return h("figure", { class: "snippet" }, h("figcaption", {}, name, copy), h("pre", { tabindex: "0" }, text));
}

/** Copies a text. The clipboard is closed to pages that come over plain HTTP from another host. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The last call of a panel, folded away under it. */
export function lastCall(panel) {
  const place = h("div");
  const details = h("details", { class: "last-call", hidden: true }, h("summary", { t: "last_call" }), place);
  let latest = null;
  const show = () => details.open && latest && place.replaceChildren(snippets(latest));
  details.addEventListener("toggle", show);
  events.addEventListener("call", ({ detail }) => {
    if (detail.panel !== panel) return;
    latest = detail;
    details.hidden = false;
    show();
  });
  return details;
}
