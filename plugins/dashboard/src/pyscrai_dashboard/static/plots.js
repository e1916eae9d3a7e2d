// Plots of estimates with intervals, as SVG. Every plot is beside a table with its numbers.

import { drawingWidth, svg } from "./dom.js";
import { number } from "./format.js";

const RIGHT = 20;
const TOP = 10;
const BOTTOM = 34;

/** Round values between two numbers, about `many` of them. */
export function ticks(low, high, many = 5) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / many;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step)
    found.push(Number(value.toPrecision(12)));
  return found;
}

/** The lowest and the highest of all numbers, with a margin. */
export function extent(values, include = []) {
  const some = [...values, ...include].filter((value) => Number.isFinite(value));
  if (!some.length) return [0, 1];
  const low = some.reduce((a, b) => Math.min(a, b));
  const high = some.reduce((a, b) => Math.max(a, b));
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - margin, high + margin];
}

/** A long name in two lines, where it has a space. */
function inLines(text, most) {
  if (text.length <= most) return [text];
  const at = text.lastIndexOf(" ", most);
  return at < 1 ? [short(text, most)] : [text.slice(0, at), short(text.slice(at + 1), most)];
}

function short(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/**
 * Rows of estimates with intervals. `rows` are `{name, estimate, low, high, points: [{value, href, title}], mark}`;
 * `zero` draws a line there; `unit` names the axis.
 */
export function intervalPlot({ label, rows, unit = "", zero = null, width = drawingWidth(600) }) {
  const some = rows.some((row) => row.points?.length);
  const each = some ? 46 : 30;
  const height = TOP + rows.length * each + BOTTOM;
  const [low, high] = extent(
    rows.flatMap((row) => [
      row.estimate,
      row.low,
      row.high,
      ...(row.points ?? []).map((point) => point.value),
    ]),
    zero === null ? [] : [zero],
  );
  const left = Math.round(Math.min(196, width * 0.34)); // room for the names
  const x = (value) => left + ((value - low) / (high - low)) * (width - left - RIGHT);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group", "aria-label": label },
    axis(x, low, high, height, left, width, unit),
    zero !== null && svg("line", { class: "zero", x1: x(zero), x2: x(zero), y1: TOP, y2: height - BOTTOM }),
    rows.map((row, at) => intervalRow(row, x, TOP + at * each + each / 2, left, some)),
  );
}

function axis(x, low, high, height, left, width, unit) {
  const y = height - BOTTOM;
  return svg(
    "g",
    { class: "axis" },
    svg("line", { class: "base", x1: left, x2: width - RIGHT, y1: y, y2: y }),
    ticks(low, high, Math.max(3, Math.round((width - left) / 80))).map((tick) => [
      svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: TOP, y2: y }),
      svg("text", { x: x(tick), y: y + 15, "text-anchor": "middle" }, number(tick)),
    ]),
    unit && svg("text", { x: width - RIGHT, y: y + 29, "text-anchor": "end", class: "unit" }, unit),
  );
}

function rowName(name, x, y) {
  const lines = inLines(name, Math.floor(x / 7.4));
  const top = y - (lines.length - 1) * 7;
  return svg(
    "text",
    { "text-anchor": "end", class: "name" },
    svg("title", null, name),
    lines.map((line, at) => svg("tspan", { x, y: top + at * 14 }, line)),
  );
}

function intervalRow(row, x, y, left, spread) {
  const line = spread ? y - 8 : y;
  return svg(
    "g",
    { class: `interval${row.mark ? ` is-${row.mark}` : ""}` },
    rowName(row.name, left - 10, y + 4),
    Number.isFinite(row.low) &&
      Number.isFinite(row.high) &&
      svg("line", { class: "range", x1: x(row.low), x2: x(row.high), y1: line, y2: line }),
    Number.isFinite(row.estimate) &&
      svg(
        "circle",
        { class: "estimate", cx: x(row.estimate), cy: line, r: 4.5 },
        svg(
          "title",
          null,
          `${row.name}: ${number(row.estimate)}${Number.isFinite(row.low) ? ` (${number(row.low)} to ${number(row.high)})` : ""}`,
        ),
      ),
    (row.points ?? []).map((point, at) =>
      svg(
        "a",
        { href: point.href, class: "trial", tabindex: at === 0 ? "0" : "-1", "aria-label": point.title },
        svg(
          "circle",
          { cx: x(point.value), cy: y + 8 + ((at * 7) % 11) - 4, r: 3 },
          svg("title", null, point.title),
        ),
      ),
    ),
  );
}

/** One factor: estimates with intervals by level. */
export function factorPlot({ label, points, unit = "", domain, width = 300, height = 210 }) {
  const left = 48;
  const [low, high] = domain;
  const numeric = points.every((point) => typeof point.level === "number");
  const [from, to] = numeric ? [points[0].level, points.at(-1).level] : [0, points.length - 1];
  const x = (point, at) =>
    left + 24 + (((numeric ? point.level : at) - from) / (to - from || 1)) * (width - left - 48);
  const y = (value) => height - BOTTOM - ((value - low) / (high - low)) * (height - BOTTOM - TOP);
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      class: "plot",
      role: "img",
      "aria-label": `${label}: ${points.map((point) => `${point.level} ${number(point.estimate)}`).join(", ")}`,
    },
    svg(
      "g",
      { class: "axis" },
      ticks(low, high, 4).map((tick) => [
        svg("line", { class: "grid", x1: left, x2: width - 8, y1: y(tick), y2: y(tick) }),
        svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick)),
      ]),
      points.map((point, at) =>
        svg(
          "text",
          { x: x(point, at), y: height - 14, "text-anchor": "middle" },
          short(String(point.level), 12),
        ),
      ),
      unit && svg("text", { x: left - 6, y: height - 2, "text-anchor": "end", class: "unit" }, unit),
    ),
    numeric &&
      svg("polyline", {
        class: "response",
        points: points.map((point, at) => `${x(point, at)},${y(point.estimate)}`).join(" "),
      }),
    points.map((point, at) =>
      svg(
        "g",
        { class: "interval" },
        Number.isFinite(point.low) &&
          svg("line", {
            class: "range",
            x1: x(point, at),
            x2: x(point, at),
            y1: y(point.low),
            y2: y(point.high),
          }),
        svg("circle", { class: "estimate", cx: x(point, at), cy: y(point.estimate), r: 4.5 }),
      ),
    ),
  );
}
