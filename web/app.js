// The page: its tabs, its theme and language, and whether the server can be reached.

import { calls } from "./calls.js";
import { compare } from "./compare.js";
import { fill, h } from "./dom.js";
import { figures } from "./figures.js";
import { generate } from "./generate.js";
import { inside } from "./inside.js";
import { forgetKey, giveKey, key, keyEvents } from "./key.js";
import { nextLanguage, t } from "./language.js";
import { call, events, isAway } from "./server.js";
import { kept } from "./widgets.js";
import { write } from "./write.js";

const PANELS = { write, generate, inside, compare, api: calls, server: figures };
const THEMES = ["auto", "light", "dark"];

const tabs = document.getElementById("tabs");
const place = document.getElementById("panels");
const banner = document.getElementById("banner");

/** What every panel is given: the models, the limits, and what the API of this server can do. */
async function world() {
  for (;;) {
    try {
      const [{ data: models }, info, document] = await Promise.all([call("v1/models"), call("v1/info"), call("openapi.json")]);
      footer(document);
      return { models, info, hasCache: takesCache(document) };
    } catch (error) {
      if (!isAway()) {
        banner.textContent = error.words ?? String(error);
        banner.hidden = false;
      }
      await new Promise((resolve) => (isAway() ? events.addEventListener("back", resolve, { once: true }) : setTimeout(resolve, 2000)));
    }
  }
}

/** Leaves out the metrics where they are answered at another address. */
function footer({ paths }) {
  document.getElementById("foot-metrics").hidden = !("/metrics" in paths);
}

/** Whether questions may have a neural cache, which not every server has. */
function takesCache({ paths, components }) {
  let schema = paths["/v1/next"].post.requestBody.content["application/json"].schema;
  if (schema.$ref) schema = components.schemas[schema.$ref.split("/").at(-1)];
  return "cache" in (schema.properties ?? {});
}

function build(given) {
  const panels = Object.entries(PANELS).map(([name, make]) => {
    const panel = make(given);
    const tab = h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, t: `tab_${name}`, onclick: () => show(name) });
    const section = h("section", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }, panel.element);
    return { name, tab, section, enter: panel.enter };
  });
  fill(tabs, panels.map((panel) => panel.tab));
  fill(place, panels.map((panel) => panel.section));

  const show = (name) => {
    for (const panel of panels) {
      const isCurrent = panel.name === name;
      panel.section.hidden = !isCurrent;
      panel.tab.setAttribute("aria-selected", String(isCurrent));
      panel.tab.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent) {
        panel.tab.scrollIntoView({ block: "nearest", inline: "center" });
        panel.enter();
      }
    }
    kept("panel", name);
    history.replaceState(null, "", `#${name}`);
  };

  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = panels.findIndex((panel) => panel.tab === document.activeElement);
    const to = panels[(at + step + panels.length) % panels.length];
    show(to.name);
    to.tab.focus();
  });
  const named = () => panels.find((panel) => panel.name === location.hash.slice(1))?.name;
  window.addEventListener("hashchange", () => named() && show(named()));
  show(named() ?? (kept("panel") in PANELS ? kept("panel") : "write"));
  if (!location.hash || location.hash === "#write") document.getElementById("write-text").focus();
}

function settings() {
  const theme = document.getElementById("theme");
  let chosen = localStorage.getItem("theme") ?? "auto";
  const apply = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    theme.textContent = t(`theme_${chosen}`);
    document.dispatchEvent(new Event("theme"));
  };
  theme.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    localStorage.setItem("theme", chosen);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);

  const language = document.getElementById("language");
  const name = () => {
    language.textContent = t("other_language");
    language.lang = t("other_language_code");
  };
  language.addEventListener("click", nextLanguage);
  document.addEventListener("language", () => { name(); apply(); });
  name();
  apply();
}

function watchServer() {
  const say = () => (banner.textContent = t("gone"));
  events.addEventListener("gone", () => { say(); banner.hidden = false; });
  events.addEventListener("back", () => (banner.hidden = true));
  document.addEventListener("language", () => banner.hidden || say());
}

/** Asks for a key when the server wants one, and has a button to forget it. */
function askForKey() {
  const form = document.getElementById("key");
  const field = document.getElementById("key-field");
  const note = document.getElementById("key-note");
  const forget = document.getElementById("key-forget");
  const say = (text) => {
    note.dataset.t = text;
    note.textContent = t(text);
  };
  keyEvents.addEventListener("asked", ({ detail }) => {
    say(detail.isWrong ? "key_wrong" : "key_needed");
    form.hidden = false;
    forget.hidden = true;
    field.value = "";
    field.focus();
  });
  keyEvents.addEventListener("given", () => {
    form.hidden = true;
    forget.hidden = false;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim()) giveKey(field.value.trim());
  });
  forget.hidden = key() === null;
  forget.addEventListener("click", () => {
    forgetKey();
    location.reload();
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  place.focus();
});
settings();
askForKey();
watchServer();
const given = await world();
banner.hidden = true;
build(given);
