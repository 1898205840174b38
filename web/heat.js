// Heat maps: a column for each token, a row for each unit, a colour for each value.

import { h } from "./dom.js";
import { t } from "./language.js";

/**
 * A heat map of `steps`, one array of values for each token. Values with a sign have two colours, others lie between 0 and 1. `words` name the
 * column that the pointer is in. `draw` paints it again, in the colours of the theme.
 */
export function heatMap({ title, steps, words, signed = true }) {
  const units = steps[0].length;
  const canvas = h("canvas", { width: steps.length, height: units, role: "img", "aria-label": t("heat_label", { title, units, steps: steps.length }) });
  canvas.style.setProperty("--units", String(units));
  const readout = h("span", { class: "readout" });
  const largest = signed ? spread(steps) : 1;
  const draw = () => paint(canvas, steps, largest, signed);
  canvas.addEventListener("pointermove", (event) => {
    const step = Math.min(steps.length - 1, Math.floor((event.offsetX / canvas.clientWidth) * steps.length));
    const unit = Math.min(units - 1, Math.floor((event.offsetY / canvas.clientHeight) * units));
    if (step >= 0 && unit >= 0) readout.textContent = t("heat_at", { word: words[step], unit, value: steps[step][unit].toFixed(3) });
  });
  canvas.addEventListener("pointerleave", () => (readout.textContent = ""));
  draw();
  const range = signed ? `−${largest.toFixed(1)} … ${largest.toFixed(1)}` : "0 … 1";
  const figure = h("figure", { class: "heat" },
    h("figcaption", {}, title, h("small", {}, t("heat_units", { units }), " · ", range), readout), canvas);
  return { element: figure, draw };
}

/** The size of the values, without the most extreme percent. */
function spread(steps) {
  const sizes = steps.flatMap((values) => Array.from(values, Math.abs)).sort((a, b) => a - b);
  return Math.max(sizes[Math.floor(sizes.length * 0.99)], 1e-6);
}

function paint(canvas, steps, largest, signed) {
  const [cold, none, hot] = ["--cold", "--none", "--hot"].map(colour);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  steps.forEach((values, step) => values.forEach((value, unit) => {
    const share = Math.max(-1, Math.min(1, value / largest));
    const end = signed && share < 0 ? cold : hot;
    const at = (unit * canvas.width + step) * 4;
    for (let channel = 0; channel < 3; channel++) {
      image.data[at + channel] = none[channel] + (end[channel] - none[channel]) * Math.sqrt(Math.abs(share));
    }
    image.data[at + 3] = 255;
  }));
  context.putImageData(image, 0, 0);
}

/** The red, green and blue of a colour of the style sheet, in the theme that is shown. */
function colour(name) {
  const probe = document.body.appendChild(h("i"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return found;
}
