// The panel "Server": what it does now, in totals, and the models that it serves.

import { fill, h, svg } from "./dom.js";
import { number, t } from "./language.js";
import { call, isAway } from "./server.js";
import { lastCall } from "./snippets.js";
import { inShort } from "./widgets.js";

const EVERY_MS = 1000;
/** What is live is of the last minute. */
const WINDOW_SECONDS = 60;

export function figures({ models, info }) {
  const live = h("div", { class: "live", "aria-live": "off" });
  const spark = h("div", { class: "spark" });
  const cards = h("div", { class: "cards" });
  const about = h("p", { class: "note" });
  const element = h("div", { class: "server" }, h("p", { class: "lead", t: "server_lead" }), live, spark, about,
    h("h2", { class: "caption", t: "models" }), cards, lastCall("server"));
  /** The answers of the last minute, the oldest first. */
  let answers = [];

  const poll = async () => {
    if (element.closest("[hidden]") || document.hidden || isAway()) return;
    try {
      const stats = await call("v1/stats", { panel: answers.length > 0 ? undefined : "server" });
      answers = [...answers.filter((older) => isRecent(older, stats)), stats];
      show(stats);
    } catch {
      answers = [];
    }
  };

  const show = (stats) => {
    const rates = answers.slice(1).map((now, index) => tokens(now, answers[index]));
    fill(live,
      figure("tokens_per_second", number(rates.at(-1) ?? 0)),
      figure("sessions", number(stats.sessions)),
      figure("running", number(stats.requests_running)),
      figure("waiting", number(stats.requests_waiting)),
      firstToken(answers[0].time_to_first_token, stats.time_to_first_token),
      figure("tokens_total", number(stats.tokens.prompt + stats.tokens.generated + stats.tokens.scored)));
    fill(spark, sparkline(rates));
  };

  const describe = () => {
    about.textContent = t("server_about", { version: info.version, kernel: info.kernel, threads: info.engine_threads, numerics: info.numerics });
    fill(cards, models.map(card));
  };
  document.addEventListener("language", describe);
  describe();
  setInterval(poll, EVERY_MS);
  return { element, enter: poll };
}

/** Whether `older` is of the same run of the server as `stats`, and at most a minute older. */
function isRecent(older, stats) {
  const seconds = stats.uptime_seconds - older.uptime_seconds;
  return seconds > 0 && seconds <= WINDOW_SECONDS;
}

/** The mean time to the first token: of the generations between two answers or, if there was none, of all. */
function firstToken(before, now) {
  const isLive = now.count > before.count;
  const count = now.count - (isLive ? before.count : 0);
  const seconds = now.total_seconds - (isLive ? before.total_seconds : 0);
  return figure(isLive ? "first_token_live" : "first_token", count > 0 ? `${number((seconds / count) * 1000, 2)} ms` : "–");
}

/** Tokens a second between two answers. */
function tokens(now, before) {
  const total = ({ tokens: { prompt, generated, scored } }) => prompt + generated + scored;
  return (total(now) - total(before)) / (now.uptime_seconds - before.uptime_seconds);
}

function figure(key, value) {
  return h("div", { class: "figure" }, h("strong", {}, value), h("span", {}, t(key)));
}

function sparkline(rates) {
  const largest = Math.max(...rates, 1);
  const first = WINDOW_SECONDS - rates.length;
  const points = rates.map((rate, index) => `${((first + index) / (WINDOW_SECONDS - 1)) * 600},${44 - (rate / largest) * 40}`);
  return svg("svg", { viewBox: "0 0 600 48", preserveAspectRatio: "none", role: "img", "aria-label": t("spark_label", { most: number(largest) }) },
    svg("line", { class: "grid", x1: 0, x2: 600, y1: 44, y2: 44 }), svg("polyline", { points: points.join(" ") }));
}

function card(model) {
  const rows = [
    ["card_network", inShort(model)],
    ["card_vocabulary", `${number(model.vocab_size)} · ${model.tokenizer_kind}`],
    ["card_parameters", number(model.parameter_count)],
    ["card_weights", `${model.weights_dtype} · ${model.backend}`],
    ["card_state", `${number(model.state_bytes)} B`],
    ["card_identity", model.identity.slice(0, 12)],
  ];
  return h("article", { class: "card" },
    h("h2", {}, model.id, model.default ? h("small", {}, t("card_default")) : null),
    h("dl", {}, rows.map(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)])));
}
