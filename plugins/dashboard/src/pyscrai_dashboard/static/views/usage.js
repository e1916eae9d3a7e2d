// Tokens, latency, cost and cache, by agent and over time.

import { get, runPath } from "../api.js";
import { lineChart } from "../charts.js";
import { field, fill, h, select, table } from "../dom.js";
import { count, money, seconds, share } from "../format.js";

const METRICS = {
  input: ["Input tokens", sum, ""],
  output: ["Output tokens", sum, ""],
  latency: ["Latency", mean, "seconds"],
  dollars: ["Cost", sum, "US dollars"],
  cached_share: ["Cache share", mean, ""],
  calls: ["Calls", sum, ""],
};
const LINES = 8;

function known(values) {
  return (values ?? []).filter((value) => value !== null && value !== undefined);
}

function sum(values) {
  const some = known(values);
  return some.length ? some.reduce((a, b) => a + b, 0) : null;
}

function mean(values) {
  const some = known(values);
  return some.length ? sum(some) / some.length : null;
}

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
    const [label, total, unit] = METRICS[metric];
    const added = total === sum && cumulative;
    const agents = Object.entries(usage.agents).sort(
      (a, b) => (total(b[1][metric]) ?? 0) - (total(a[1][metric]) ?? 0),
    );
    const shown = agents
      .slice(0, LINES)
      .map(([name, values]) => ({
        name,
        hue: Math.max(0, view.agents.indexOf(name)),
        values: added ? running(values[metric]) : (values[metric] ?? []),
      }));
    fill(
      chart,
      usage.steps.length === 0
        ? h("p", { class: "empty" }, "No calls so far.")
        : lineChart({
            label: added ? `${label}, added up` : `${label} by step`,
            unit,
            steps: usage.steps,
            series: shown,
            height: 260,
            signal: drawing.signal,
          }),
      agents.length > LINES &&
        h("p", { class: "hint" }, `The ${LINES} agents with the most; the table has all ${agents.length}.`),
    );
    fill(totals, agentTotals(usage), providerTotals(usage));
  }
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
      field(
        "Show",
        select(
          Object.entries(METRICS).map(([key, [text]]) => [key, text]),
          metric,
          (value) => {
            metric = value;
            draw();
          },
        ),
      ),
      h("label", { class: "check" }, sumUp, "Added up"),
    ),
    chart,
    totals,
  );
}

function running(values) {
  let all = 0;
  return (values ?? []).map((value) => {
    all += value ?? 0;
    return all;
  });
}

const COLUMNS = [
  { text: "Calls", class: "num" },
  { text: "Input", class: "num" },
  { text: "Output", class: "num" },
  { text: "Cache share", class: "num" },
  { text: "Latency", class: "num" },
  { text: "Cost", class: "num" },
];

function cells(values) {
  const input = sum(values.input);
  const cached = known(values.cached_share).length
    ? (values.cached_share ?? []).reduce((all, part, at) => all + (part ?? 0) * (values.input?.[at] ?? 0), 0)
    : null;
  return [
    count(sum(values.calls)),
    count(input),
    count(sum(values.output)),
    cached === null || !input ? "–" : share(cached / input),
    seconds(mean(values.latency)),
    money(sum(values.dollars)),
  ];
}

function agentTotals(usage) {
  const rows = Object.entries(usage.agents).map(([name, values]) => [name, ...cells(values)]);
  return rows.length > 0 && [h("h2", null, "By agent"), table("Usage by agent", ["Agent", ...COLUMNS], rows)];
}

function providerTotals(usage) {
  const rows = Object.entries(usage.providers ?? {}).flatMap(([name, models]) =>
    models.map((one) => [
      [name, one.model].filter(Boolean).join(" · "),
      count(one.calls),
      count(one.input),
      count(one.output),
      one.input ? share(one.cached / one.input) : "–",
      seconds(one.latency),
      money(one.dollars),
      count(one.failed),
      count(one.retries),
    ]),
  );
  const more = [
    { text: "Failed", class: "num" },
    { text: "Retries", class: "num" },
  ];
  return (
    rows.length > 0 && [
      h("h2", null, "By provider"),
      table("Usage by provider", ["Provider", ...COLUMNS, ...more], rows),
    ]
  );
}
