// What a run came to: outcomes, measures over time, tables.

import { lineChart } from "../charts.js";
import { h, table } from "../dom.js";
import { inline, number, plural, pretty } from "../format.js";

const SHOWN_ROWS = 200;

export function resultsTab(view) {
  const root = h("div", { class: "results" });
  let drawing = null;
  function draw() {
    drawing?.abort();
    drawing = new AbortController();
    root.replaceChildren(...parts(view.run, drawing.signal));
  }
  view.signal.addEventListener("abort", () => drawing?.abort());
  draw();
  let seen = JSON.stringify([view.run.status, view.run.measures]);
  view.changed.add(async () => {
    await view.readDetails();
    const now = JSON.stringify([view.run.status, view.run.measures]);
    if (now === seen) return;
    seen = now;
    draw();
  });
  return root;
}

function parts(run, signal) {
  const outcomes = Object.entries(run.outcomes ?? {});
  const measures = Object.entries(run.measures ?? {});
  const tables = Object.entries(run.tables ?? {});
  const found = [
    outcomes.length > 0 &&
      h(
        "section",
        { "aria-labelledby": "outcomes" },
        h("h2", { id: "outcomes" }, "Outcomes"),
        h(
          "dl",
          { class: "outcomes" },
          outcomes.map(([name, value]) =>
            h(
              "div",
              null,
              h("dt", null, name),
              h("dd", { class: "num" }, outcome(value), run.units?.[name] && h("small", null, ` ${run.units[name]}`)),
            ),
          ),
        ),
      ),
    measures.length > 0 &&
      h(
        "section",
        { "aria-labelledby": "measures" },
        h("h2", { id: "measures" }, "Measures"),
        h(
          "div",
          { class: "charts" },
          measures.map(([name, one]) => measure(name, one, signal)),
        ),
      ),
    ...tables.map(([name, rows]) => rowsTable(name, rows)),
    about(run),
  ];
  if (!outcomes.length && !measures.length && !tables.length) {
    found.unshift(
      h(
        "p",
        { class: "empty" },
        run.ended
          ? "The scenario declares no outcomes, measures or tables."
          : "Outcomes are computed when the run has ended. The scenario declares no measures.",
      ),
    );
  }
  return found.filter(Boolean);
}

function outcome(value) {
  if (value !== null && typeof value === "object") return h("pre", { tabindex: "0" }, pretty(value));
  return typeof value === "number" ? number(value) : inline(value);
}

function measure(name, { unit = "", kind = "", series }, signal) {
  const steps = series.map(([step]) => step);
  const values = series.map(([, value]) => value);
  const numeric = values.every(
    (value) => value === null || typeof value === "number" || typeof value === "boolean",
  );
  if (numeric) {
    return lineChart({
      label: name,
      unit,
      steps,
      stepped: kind === "proportion",
      signal,
      series: [{ name, values: values.map((value) => (typeof value === "boolean" ? Number(value) : value)) }],
    });
  }
  const levels = [...new Set(values.filter((value) => value !== null).map(inline))];
  return lineChart({
    label: name,
    unit,
    steps,
    levels,
    stepped: true,
    signal,
    series: [
      { name, values: values.map((value) => (value === null ? null : levels.indexOf(inline(value)))) },
    ],
  });
}

function rowsTable(name, rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value) =>
    typeof value === "number" ? number(value) : value === undefined || value === null ? "–" : inline(value);
  return h(
    "section",
    null,
    h("h2", null, `Table ${name}`, h("span", { class: "dim" }, ` ${plural(rows.length, "row")}`)),
    rows.length > SHOWN_ROWS &&
      h("p", { class: "hint" }, `The first ${SHOWN_ROWS}; pyscrai export has them all.`),
    table(
      `Table ${name}`,
      columns.map((column) => ({
        text: column,
        class: rows.every((row) => typeof row[column] === "number" || row[column] == null) ? "num" : "",
      })),
      rows.slice(0, SHOWN_ROWS).map((row) => columns.map((column) => cell(row[column]))),
    ),
  );
}

function about(run) {
  const versions = Object.entries(run.versions ?? {});
  const schedule = typeof run.schedule === "string" ? run.schedule : run.schedule && inline(run.schedule);
  return h(
    "section",
    { "aria-labelledby": "about" },
    h("h2", { id: "about" }, "About this run"),
    h(
      "dl",
      { class: "pairs" },
      [
        ["Id", run.id],
        ["Description", run.description],
        ["Premise", run.premise],
        ["Schedule", schedule],
        ["Limits", Object.keys(run.limits ?? {}).length ? inline(run.limits) : null],
        [
          "Forks",
          run.forks?.length
            ? run.forks.map((id) => h("a", { href: `/runs/${encodeURIComponent(id)}` }, id.slice(0, 8), " "))
            : null,
        ],
        [
          "Software",
          versions.length
            ? versions
                .map(
                  ([name, version]) => `${name} ${typeof version === "string" ? version : inline(version)}`,
                )
                .join(", ")
            : null,
        ],
      ]
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
    ),
    run.agents?.length > 0 && agentTable(run.agents),
  );
}

function agentTable(agents) {
  const shown = agents.slice(0, SHOWN_ROWS);
  return table(
    "Agents",
    ["Agent", "Engine", "Provider", "Groups"],
    shown.map((agent) => [
      agent.name,
      agent.human ? `${inline(agent.engine)} (a person)` : inline(agent.engine),
      agent.provider ? inline(agent.provider) : "–",
      (agent.groups ?? []).join(", ") || "–",
    ]),
  );
}
