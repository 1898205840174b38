// The key of the server, if it requires one: kept for this tab, asked for when an answer is 401.

const NAME = "rnnlm-key";

/** Tells of `asked` (a key is needed; `detail.isWrong` if there was one) and `given`. */
export const keyEvents = new EventTarget();

/** While a key is asked for: those who wait for it. */
let waiting = null;

/** The key, or null. */
export function key() {
  return sessionStorage.getItem(NAME);
}

/** Takes a key, and lets the calls go on that wait for one. */
export function giveKey(given) {
  sessionStorage.setItem(NAME, given);
  waiting?.resolve();
  waiting = null;
  keyEvents.dispatchEvent(new Event("given"));
}

/** Forgets the key. */
export function forgetKey() {
  sessionStorage.removeItem(NAME);
}

/** Returns when there is another key than `used`, for which the page asks. Fails when `signal` is aborted. */
export async function anotherKey(used, signal) {
  if (key() !== used) return;
  if (!waiting) {
    waiting = deferred();
    keyEvents.dispatchEvent(new CustomEvent("asked", { detail: { isWrong: used !== null } }));
  }
  const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true }));
  await Promise.race([waiting.promise, aborted]);
}

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve) => (parts.resolve = resolve));
  return parts;
}
