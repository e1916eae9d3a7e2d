// Line charts, drawn by uPlot on a canvas, each with its numbers as a table.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { h, table } from "./dom.js";
import { number } from "./format.js";
import { colour } from "./theme.js";

const HUES = 8;
const TABLE_ROWS = 200;

/** The colour of a series, and its dashes, since colours alone do not tell more than eight apart. */
function look(at) {
  return { stroke: colour(`--hue-${at % HUES}`), dash: at < HUES ? undefined : [6, 3] };
}

/**
 * A chart of `series`, a list of `{name, values}` beside the common `steps`. `levels`: names for the values 0, 1, …
 * `signal`: when it is aborted, the chart is removed.
 */
export function lineChart({
  label,
  steps,
  series,
  unit = "",
  stepped = false,
  levels = null,
  height = 220,
  signal,
}) {
  const canvas = h("div", {
    class: "chart",
    role: "img",
    "aria-label": describe(label, steps, series, unit, levels),
  });
  const box = h(
    "figure",
    { class: "chart-box" },
    h("figcaption", null, label, unit && h("span", { class: "dim" }, ` (${unit})`)),
    legend(series),
    canvas,
    numbers(label, steps, series, levels),
  );
  let plot = null;

  function draw() {
    const width = canvas.clientWidth;
    if (!width) return;
    plot?.destroy();
    plot = new uPlot(options(width), [steps, ...series.map((one) => one.values)], canvas);
  }

  function options(width) {
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      width,
      height,
      cursor: { y: false, points: { size: 6 } },
      legend: { show: false },
      padding: [8, 12, 0, 0],
      scales: { x: { time: false } },
      axes: [
        {
          ...axis,
          label: "step",
          labelSize: 18,
          labelFont: "12px system-ui, sans-serif",
          size: 30,
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000],
        },
        {
          ...axis,
          size: levels ? 90 : 56,
          splits: levels ? () => levels.map((_, at) => at) : undefined,
          values: (_, ticks) => ticks.map((tick) => (levels ? (levels[tick] ?? "") : number(tick))),
        },
      ],
      series: [
        { label: "step" },
        ...series.map((one, at) => ({
          label: one.name,
          width: 1.75,
          spanGaps: true,
          points: { show: steps.length < 60, size: 5 },
          ...look(one.hue ?? at),
          paths: stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        })),
      ],
    };
  }

  const resize = new ResizeObserver(() => {
    if (plot && Math.abs(plot.width - canvas.clientWidth) < 2) return;
    draw();
  });
  resize.observe(canvas);
  document.addEventListener("theme", draw, { signal });
  signal.addEventListener("abort", () => {
    resize.disconnect();
    plot?.destroy();
  });
  return box;
}

function legend(series) {
  if (series.length < 2) return null;
  return h(
    "ul",
    { class: "legend", role: "list" },
    series.map((one, at) => {
      const mark = h("span", { class: "swatch", "aria-hidden": "true" });
      mark.style.setProperty("background", `var(--hue-${(one.hue ?? at) % HUES})`);
      return h("li", null, mark, one.name);
    }),
  );
}

function describe(label, steps, series, unit, levels) {
  const text = (value) => (levels ? (levels[value] ?? "nothing") : number(value));
  const ends = series.slice(0, 12).map((one) => {
    const some = one.values.filter((value) => value !== null && value !== undefined);
    return some.length
      ? `${one.name} from ${text(some[0])} to ${text(some.at(-1))}`
      : `${one.name} without values`;
  });
  return `Line chart of ${label}${unit && ` in ${unit}`} over steps ${steps[0] ?? 0} to ${steps.at(-1) ?? 0}: ${ends.join(", ")}`;
}

/** The numbers of a chart, made when they are opened. */
function numbers(label, steps, series, levels) {
  const details = h("details", { class: "numbers" }, h("summary", null, "Numbers"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const from = Math.max(0, steps.length - TABLE_ROWS);
    const rows = steps.slice(from).map((step, at) => [
      step,
      ...series.map((one) => {
        const value = one.values[from + at];
        return levels && value !== null ? levels[value] : number(value);
      }),
    ]);
    if (from) details.append(h("p", { class: "hint" }, `The last ${TABLE_ROWS} of ${steps.length} steps.`));
    details.append(
      table(
        label,
        [{ text: "Step", class: "num" }, ...series.map((one) => ({ text: one.name, class: "num" }))],
        rows,
      ),
    );
  });
  return details;
}
