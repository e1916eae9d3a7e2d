// Tokens, latency, cost and cache, by agent and over time.

import { get, runPath } from "../api.js";
import { lineChart } from "../charts.js";
import { field, fill, h, select, table } from "../dom.js";
import { count, money, seconds, share } from "../format.js";

// The name, the unit, and whether values can be added up.
const METRICS = {
  input: ["Input tokens", "", true],
  output: ["Output tokens", "", true],
  latency: ["Mean latency", "seconds", false],
  dollars: ["Cost", "US dollars", true],
  cached_share: ["Cache share", "", false],
  calls: ["Calls", "", true],
};
const LINES = 8;

export async function usageTab(view) {
  let usage = await get(runPath(view.id, "usage"), {}, view.signal);
  let metric = "input";
  let cumulative = false;
  let drawing = null;
  const chart = h("div");
  const totals = h("div");

  function draw() {
    drawing?.abort();
    drawing = new AbortController();
    fill(chart, usageChart(usage, metric, cumulative, view.agents, drawing.signal));
    fill(totals, agentTotals(usage), providerTotals(usage));
  }
  const choice = select(
    Object.entries(METRICS).map(([key, [text]]) => [key, text]),
    metric,
    (value) => {
      metric = value;
      draw();
    },
  );
  const sumUp = h("input", {
    type: "checkbox",
    onchange: (event) => {
      cumulative = event.target.checked;
      draw();
    },
  });
  view.signal.addEventListener("abort", () => drawing?.abort());
  draw();
  view.changed.add(async () => {
    usage = await get(runPath(view.id, "usage"), {}, view.signal).catch(() => usage);
    draw();
  });
  return h(
    "section",
    { class: "usage", "aria-label": "Usage" },
    h(
      "form",
      { class: "filters", onsubmit: (event) => event.preventDefault() },
      field("Show", choice),
      h("label", { class: "check" }, sumUp, "Added up"),
    ),
    chart,
    totals,
  );
}

/** A line for each agent, at most `LINES`: those with the highest values. */
function usageChart(usage, metric, cumulative, names, signal) {
  if (usage.steps.length === 0) return h("p", { class: "empty" }, "No calls so far.");
  const [label, unit, adds] = METRICS[metric];
  const added = adds && cumulative;
  const agents = Object.keys(usage.agents).sort(
    (a, b) => (usage.sums[b][metric] ?? 0) - (usage.sums[a][metric] ?? 0),
  );
  const each = usage.width > 1 ? `${usage.width} steps` : "step";
  const series = agents
    .slice(0, LINES)
    .map((name) => ({
      name,
      hue: Math.max(0, names.indexOf(name)),
      values: added ? running(usage.agents[name][metric]) : usage.agents[name][metric],
    }));
  return [
    lineChart({
      label: added ? `${label}, added up` : `${label} by ${each}`,
      unit,
      steps: usage.steps,
      series,
      height: 260,
      signal,
    }),
    agents.length > LINES &&
      h(
        "p",
        { class: "hint" },
        `The ${LINES} agents with the most; the table has all ${count(agents.length)}.`,
      ),
  ];
}

function running(values) {
  let all = 0;
  return values.map((value) => {
    all += value ?? 0;
    return all;
  });
}

const COLUMNS = ["Calls", "Input", "Output", "Cache share", "Latency", "Cost", "Failed", "Retried"].map(
  (text) => ({ text, class: "num" }),
);

function cells(sums) {
  return [
    count(sums.calls),
    count(sums.input),
    count(sums.output),
    share(sums.cached_share),
    seconds(sums.latency),
    money(sums.dollars),
  ];
}

function agentTotals(usage) {
  const rows = Object.entries(usage.sums).map(([name, sums]) => [name, ...cells(sums)]);
  return (
    rows.length > 0 && [
      h("h2", null, "By agent"),
      table("Usage by agent", ["Agent", ...COLUMNS.slice(0, 6)], rows),
    ]
  );
}

function providerTotals(usage) {
  const rows = Object.entries(usage.providers).flatMap(([name, models]) =>
    models.map((one) => [
      [name, one.model].filter(Boolean).join(" · "),
      ...cells(one),
      count(one.failed),
      count(one.retried),
    ]),
  );
  return (
    rows.length > 0 && [
      h("h2", null, "By provider"),
      table("Usage by provider", ["Provider", ...COLUMNS], rows),
    ]
  );
}
