// Calls to the API: errors in words, whether the server can be reached, and a record of each call for the panel "API".

import { anotherKey, key } from "./key.js";
import { hasText, t } from "./language.js";

/** A call that failed. `message` is what the server says, or what the browser found. */
export class Failure extends Error {
  constructor({ status = 0, code, param = null, message }) {
    super(message);
    Object.assign(this, { status, code, param });
  }

  /** What went wrong, in the language of the page where it has words for it. */
  get words() {
    const key = `error_${this.code}`;
    return hasText(key) ? t(key, { message: this.message }) : this.message;
  }
}

/** Tells of `call` (a finished call, with its record), `gone` and `back` (the server). */
export const events = new EventTarget();

const CALLS_MAX = 30;
const calls = [];
const RETRY_MS = { first: 400, max: 3000 };
let away = false;

/** The latest calls, the newest first. */
export function latestCalls() {
  return calls;
}

/** Whether the server did not answer the last time. */
export function isAway() {
  return away;
}

/** The absolute URL of a path of the API. Relative to the page, so that a path prefix stays in it. */
export function urlOf(path) {
  return new URL(path, document.baseURI).href;
}

/**
 * Calls the API and returns the body of the answer. `panel` names who calls: the call is recorded for it. Calls without a panel are not
 * recorded.
 */
export async function call(path, { panel, method, body, signal, keepalive } = {}) {
  const request = { panel, method: method ?? (body ? "POST" : "GET"), path, body };
  const begun = performance.now();
  const response = await send(request, { signal, keepalive });
  const answer = await bodyOf(response);
  record(request, { status: response.status, milliseconds: performance.now() - begun, answer });
  if (!response.ok) throw failure(response, answer);
  return answer;
}

/** Calls the API and yields the events of the stream that it answers with: `{event, data}`. */
export async function* stream(path, { panel, body, signal }) {
  const request = { panel, method: "POST", path, body };
  const begun = performance.now();
  const response = await send(request, { signal });
  if (!response.ok) {
    const answer = await bodyOf(response);
    record(request, { status: response.status, milliseconds: performance.now() - begun, answer });
    throw failure(response, answer);
  }
  record(request, { status: response.status, milliseconds: performance.now() - begun, answer: null });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await read(reader, signal);
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal?.aborted) throw error;
    leave();
    throw unreachable();
  }
}

/** One event of a stream; nothing for a comment. */
function parsed(block) {
  const lines = block.split("\n").map((line) => line.split(/: ?(.*)/s));
  const value = (name) => lines.filter((line) => line[0] === name).map((line) => line[1]).join("\n");
  const data = value("data");
  return data ? { event: value("event"), data: JSON.parse(data) } : null;
}

async function send({ method, path, body }, { signal, keepalive }) {
  const text = body ? JSON.stringify(body) : undefined;
  for (;;) {
    const used = key();
    const headers = { ...(body && { "content-type": "application/json" }), ...(used && { authorization: `Bearer ${used}` }) };
    let response;
    try {
      response = await fetch(urlOf(path), { method, headers, body: text, signal, keepalive });
    } catch (error) {
      if (signal?.aborted) throw error;
      leave();
      throw unreachable();
    }
    if (away) comeBack();
    // A call that outlives the page has nobody to ask.
    if (response.status !== 401 || keepalive) return response;
    await anotherKey(used, signal);
  }
}

async function bodyOf(response) {
  const text = await response.text();
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}

function failure(response, answer) {
  const error = answer?.error ?? { code: "unknown", message: t("error_status", { status: response.status }) };
  if (error.code === "loading" || error.code === "draining") leave();
  return new Failure({ status: response.status, code: error.code, param: error.param, message: error.message });
}

function unreachable() {
  return new Failure({ code: "unreachable", message: t("error_unreachable") });
}

function record(request, outcome) {
  if (!request.panel) return;
  const made = { ...request, ...outcome, at: new Date() };
  calls.unshift(made);
  calls.length = Math.min(calls.length, CALLS_MAX);
  events.dispatchEvent(new CustomEvent("call", { detail: made }));
}

/** The server is gone: ask until it is ready again. */
async function leave() {
  if (away) return;
  away = true;
  events.dispatchEvent(new Event("gone"));
  for (let wait = RETRY_MS.first; away; wait = Math.min(wait * 1.5, RETRY_MS.max)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const ready = await fetch(urlOf("readyz"), { cache: "no-store" }).then((answer) => answer.ok, () => false);
    if (ready) comeBack();
  }
}

function comeBack() {
  if (!away) return;
  away = false;
  events.dispatchEvent(new Event("back"));
}
