// Curves, as SVG. A few lines with few points need no library.

import { h, svg } from "./dom.js";

const SIZE = { width: 640, height: 260, left: 46, right: 16, top: 14, bottom: 38 };
const TICKS_MAX = 6;

/**
 * A figure of curves. `series` are `{name, colour, points: [[x, y]], dashed?}`, `colour` an index into the palette. With `ordinal`, the xs are
 * equally far apart. With `log`, the y axis is logarithmic.
 */
export function chart({ series, title, x, y, log = false, ordinal = false }) {
  const drawn = series.map((one) => ({ ...one, points: one.points.filter(([, value]) => !log || value > 0) }));
  const xs = [...new Set(drawn.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  const ys = drawn.flatMap((one) => one.points.map((point) => point[1]));
  if (ys.length === 0) return h("figure", { class: "chart" });
  const across = scale(ordinal ? [0, xs.length - 1] : [xs[0], xs.at(-1)], [SIZE.left, SIZE.width - SIZE.right]);
  const atX = (value) => across(ordinal ? xs.indexOf(value) : value);
  const bounds = log ? [Math.log10(Math.min(...ys)), Math.log10(Math.max(...ys))] : [0, Math.max(...ys) * 1.05];
  const up = scale(log ? [Math.floor(bounds[0]), Math.ceil(bounds[1])] : bounds, [SIZE.height - SIZE.bottom, SIZE.top]);
  const atY = (value) => up(log ? Math.log10(value) : value);
  const rows = log ? powers(bounds) : steps(bounds[1]);
  const columns = ordinal ? xs : xs.filter((_, index) => index % Math.ceil(xs.length / 12) === 0);
  const picture = svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": title },
    rows.map((value) => [
      svg("line", { class: "grid", x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: atY(value), y2: atY(value) }),
      svg("text", { class: "tick", x: SIZE.left - 7, y: atY(value) + 4, "text-anchor": "end" }, label(value)),
    ]),
    columns.map((value) =>
      svg("text", { class: "tick", x: atX(value), y: SIZE.height - SIZE.bottom + 17, "text-anchor": "middle" }, label(value))),
    svg("text", { class: "axis", x: (SIZE.left + SIZE.width) / 2, y: SIZE.height - 4, "text-anchor": "middle" }, x),
    drawn.map((one) => curve(one, atX, atY)));
  const legend = h("ul", { class: "legend" }, series.map((one) => h("li", { class: `of-${one.colour}` }, one.name)));
  return h("figure", { class: "chart" }, h("figcaption", {}, title, h("small", {}, y)), legend, picture);
}

function curve({ points, colour, dashed }, atX, atY) {
  const path = points.map(([a, b], index) => `${index ? "L" : "M"}${atX(a).toFixed(1)} ${atY(b).toFixed(1)}`).join("");
  return svg("g", { class: `curve of-${colour}${dashed ? " dashed" : ""}` },
    svg("path", { d: path }),
    points.length <= 40 ? points.map(([a, b]) => svg("circle", { cx: atX(a), cy: atY(b), r: 2.6 })) : []);
}

function scale([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

/** Round values from 0 to `max`. */
function steps(max) {
  const rough = max / (TICKS_MAX - 1);
  const unit = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= rough) ?? unit;
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, index) => index * step);
}

/** The powers of ten between two exponents, at most a few. */
function powers([from, to]) {
  const low = Math.floor(from);
  const high = Math.ceil(to);
  const step = Math.max(1, Math.ceil((high - low) / TICKS_MAX));
  return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, index) => 10 ** (high - index * step));
}

function label(value) {
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}
