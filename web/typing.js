// One session that is typed into. It holds the finished words; what is typed of the next word, with the white space before it, stays here.

import { call, Failure } from "./server.js";

const TTL_SECONDS = 900;
const LOST = new Set(["session_not_found", "session_expired", "session_evicted", "model_changed", "session_diverged", "position_mismatch", "session_busy"]);

/** Where a text divides: before the white space that precedes its last word. */
export function divided(text) {
  const at = text.search(/\s+\S*$/);
  return at < 0 ? { finished: "", prefix: text } : { finished: text.slice(0, at), prefix: text.slice(at) };
}

export class Typist {
  #model;
  #limits;
  #id = null;
  /** What the session has read. */
  #read = "";
  /** The places in `#read` to which the session can go back: `{length, position}`, ascending. */
  #points = [];

  constructor(model, limits) {
    this.#model = model;
    this.#limits = limits;
  }

  /** Whether each token of the model is a word. */
  get isOfWords() {
    return ["word", "whitespace"].includes(this.#model.tokenizer_kind);
  }

  /**
   * Moves the session to `text`, and asks what comes next. Answers `{kind, entries, unknown, prefix}`: `kind` is `next` for the distribution
   * after finished words, `words` for words that begin with what is typed, and `ahead` for what may follow a word that no known word begins
   * with. `unknown` counts the unknown words of what was read now.
   */
  async follow(text, count) {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#follow(text, count);
      } catch (error) {
        const isLost = error instanceof Failure && (LOST.has(error.code) || error.param === "position");
        if (!isLost || attempt > 0) throw error;
        this.#forget();
      }
    }
  }

  /** Deletes the session, also while the page is being left. */
  close() {
    if (this.#id) call(`v1/sessions/${this.#id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.#forget();
  }

  #forget() {
    this.#id = null;
    this.#read = "";
    this.#points = [];
  }

  async #follow(text, count) {
    const { finished, prefix } = divided(text);
    const question = this.#question(prefix, count);
    let unknown = 0;
    let answer = null;
    if (!this.#id) unknown += await this.#create(finished);
    const point = this.#common(finished);
    if (point.length < this.#read.length) {
      const ask = point.length === finished.length ? question : {};
      answer = await this.#rewind(point, ask);
    }
    const rest = finished.slice(this.#read.length);
    if (rest) {
      const body = { text: rest, expected_position: this.#points.at(-1).position, ...question };
      answer = await this.#write("append", body);
      unknown += answer.unknown_count;
      this.#moved(finished, answer.position);
    }
    return { prefix, unknown, ...(await this.#answered(answer, prefix, question, count)) };
  }

  /** What is asked in the same call as the move, if one call can do both. */
  #question(prefix, count) {
    if (prefix.trim() || !this.isOfWords) {
      return { suggest: { prefix, top_k: Math.min(count, this.#limits.max_suggestions) } };
    }
    return prefix.includes("\n") ? {} : { next: this.#words(count) };
  }

  async #create(finished) {
    const body = {
      model: this.#model.id,
      ttl_seconds: Math.min(TTL_SECONDS, this.#limits.session_ttl_seconds),
      rewind_tokens: Math.min(512, this.#limits.rewind_max),
    };
    if (finished) body.text = finished;
    const session = await call("v1/sessions", { panel: "write", body });
    this.#id = session.id;
    this.#read = finished;
    this.#points = finished ? [{ length: finished.length, position: session.position }] : [];
    if (!finished) this.#points.push({ length: 0, position: session.position });
    return session.unknown_count ?? 0;
  }

  /** The last place that `text` shares with what was read, at the end of a word. */
  #common(text) {
    const isShared = ({ length }) =>
      text.length >= length && text.startsWith(this.#read.slice(0, length)) && (length === 0 || !/\S/.test(text[length] ?? ""));
    const point = this.#points.findLast(isShared);
    if (!point) throw new Failure({ code: "position_mismatch", message: "" });
    return point;
  }

  async #rewind(point, question) {
    const { position } = this.#points.at(-1);
    const answer = await this.#write("rewind", { position: point.position, expected_position: position, ...question });
    this.#points.length = this.#points.indexOf(point) + 1;
    this.#read = this.#read.slice(0, point.length);
    return answer;
  }

  #moved(finished, position) {
    this.#read = finished;
    this.#points.push({ length: finished.length, position });
  }

  /** The answer to `question`, from the move's answer or a call of its own. */
  async #answered(moved, prefix, question, count) {
    if (question.suggest) {
      const { suggestions } = moved?.suggest ?? (await this.#write("suggest", question.suggest));
      if (suggestions.length > 0) return { kind: "words", entries: suggestions };
      return { kind: "ahead", entries: (await this.#ahead(prefix, count)).distribution };
    }
    if (moved?.next) return { kind: "next", entries: moved.next.distribution };
    return { kind: "next", entries: (await this.#ahead(prefix.trimEnd() || prefix.includes("\n") ? prefix : "", count)).distribution };
  }

  /** The likeliest tokens that can be written: neither the unknown word nor the end of the text. */
  #words(count) {
    return { top_k: Math.min(count, this.#limits.max_top_k), special: false };
  }

  /** What follows `text`, which the session does not read. */
  #ahead(text, count) {
    return this.#write("next", text ? { text, ...this.#words(count) } : this.#words(count));
  }

  #write(verb, body) {
    return call(`v1/sessions/${this.#id}/${verb}`, { panel: "write", body });
  }
}
