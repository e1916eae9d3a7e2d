// The report of an experiment: plots of estimates with intervals, each beside its table.

import { h, table } from "../dom.js";
import { count, number } from "../format.js";
import { extent, factorPlot, intervalPlot } from "../plots.js";

const MOST_POINTS = 150; // for each arm

/** The arms, with the trials behind each point. `choice` is the field that chooses the outcome. */
export function arms(content, outcome, runs, choice) {
  const { unit = "", kind } = content.outcomes.find((one) => one.name === outcome);
  const level = Math.round(100 * (content.level ?? 0.95));
  const rows = content.arms.map((arm) => ({
    ...arm.outcomes?.[outcome],
    name: arm.name,
    points: points(runs, arm.name, outcome),
  }));
  const drawable = rows.some((row) => Number.isFinite(row.mean));
  const thinned = rows.some((row) => row.points.thinned);
  return h(
    "section",
    { "aria-labelledby": "arms" },
    h("div", { class: "section-head" }, h("h2", { id: "arms" }, "Arms"), choice),
    h(
      "div",
      { class: "plot-and-table" },
      drawable &&
        h(
          "figure",
          { class: "plot-box" },
          intervalPlot({
            label: `${outcome} by arm`,
            unit,
            rows: rows.map((row) => ({ ...row, estimate: row.mean })),
          }),
          h(
            "figcaption",
            { class: "hint" },
            kind === "proportion" ? "Share" : "Mean",
            `, with its ${level} % interval; below it the trials: choose one for its run.`,
            thinned && ` Up to ${MOST_POINTS} trials of an arm are drawn.`,
          ),
        ),
      table(
        "Arms",
        [
          "Arm",
          { text: "n", class: "num" },
          { text: "Failed", class: "num" },
          { text: kind === "proportion" ? "Share" : "Mean", class: "num" },
          { text: `${level} % interval`, class: "num" },
          ...(kind !== "proportion" && rows.some((row) => row.categories) ? ["Categories"] : []),
        ],
        content.arms.map((arm, at) => [
          arm.name,
          count(rows[at].n ?? arm.n ?? arm.completed),
          count(arm.failed ?? 0),
          number(rows[at].mean),
          interval(rows[at]),
          ...(kind !== "proportion" && rows.some((row) => row.categories)
            ? [shares(rows[at].categories)]
            : []),
        ]),
      ),
    ),
  );
}

/** The trials of an arm that are drawn, evenly chosen if there are many. */
function points(runs, arm, outcome) {
  const some = runs.filter((run) => run.arm === arm && isNumber(run.outcomes?.[outcome]));
  const step = Math.max(1, Math.ceil(some.length / MOST_POINTS));
  const drawn = some
    .filter((_, at) => at % step === 0)
    .map((run) => ({
      value: Number(run.outcomes[outcome]),
      href: `/runs/${encodeURIComponent(run.run)}`,
      title: `${arm}, replicate ${run.replicate}: ${number(run.outcomes[outcome])}`,
    }));
  drawn.thinned = step > 1;
  return drawn;
}

/** Differences between arms, as they were planned or not. */
export function comparisons(content, outcome) {
  const some = (content.comparisons ?? []).filter((one) => one.outcome === outcome);
  if (!some.length) return null;
  const drawable = some.filter((one) => Number.isFinite(one.estimate));
  return h(
    "section",
    { "aria-labelledby": "comparisons" },
    h("h2", { id: "comparisons" }, "Comparisons"),
    h(
      "div",
      { class: "plot-and-table" },
      drawable.length > 0 &&
        h(
          "figure",
          { class: "plot-box" },
          intervalPlot({
            label: `Differences in ${outcome}`,
            zero: 0,
            rows: drawable.map((one) => ({
              ...one,
              name: `${one.first} − ${one.second}`,
              mark: one.planned ? "" : "unplanned",
            })),
          }),
          h(
            "figcaption",
            { class: "hint" },
            "Differences with their intervals. Comparisons that were not planned are exploratory, and drawn hollow.",
          ),
        ),
      table(
        "Comparisons",
        [
          "Comparison",
          "Planned",
          { text: "Difference", class: "num" },
          { text: "Interval", class: "num" },
          { text: "p", class: "num" },
          { text: "p adjusted", class: "num" },
          ...(some.some((one) => one.verdict) ? ["Verdict"] : []),
        ],
        some.map((one) => [
          `${one.first} − ${one.second}`,
          one.planned ? "yes" : "no",
          number(one.estimate),
          interval(one),
          probability(one.p),
          probability(one.p_adjusted),
          ...(some.some((other) => other.verdict) ? [one.verdict ?? "–"] : []),
        ]),
      ),
    ),
    h(
      "ul",
      { class: "sentences" },
      some.filter((one) => one.sentence).map((one) => h("li", null, one.sentence)),
    ),
  );
}

/** The outcome by the levels of each factor. */
export function factors(content, outcome) {
  const one = (content.factors ?? []).find((each) => each.outcome === outcome);
  if (!one?.responses?.length) return null;
  const points = one.responses.flatMap((each) => each.points);
  const domain = extent(points.flatMap((point) => [point.estimate, point.low, point.high]));
  return h(
    "section",
    { "aria-labelledby": "factors" },
    h("h2", { id: "factors" }, "Factors"),
    h(
      "div",
      { class: "factor-plots" },
      one.responses.map((each) =>
        h(
          "figure",
          { class: "plot-box" },
          h("figcaption", null, each.factor),
          factorPlot({ label: `${outcome} by ${each.factor}`, points: each.points, unit: one.unit, domain }),
        ),
      ),
    ),
    table(
      "Factors",
      ["Factor", "Level", { text: "Mean", class: "num" }, { text: "Interval", class: "num" }],
      one.responses.flatMap((each) =>
        each.points.map((point) => [
          each.factor,
          String(point.level),
          number(point.estimate),
          interval(point),
        ]),
      ),
    ),
  );
}

/** The planned differences under all variants that should not matter (a specification curve). */
export function curve(content, outcome) {
  const some = (content.curve ?? []).filter((one) => one.outcome === outcome);
  if (!some.length) return null;
  return h(
    "section",
    { "aria-labelledby": "curve" },
    h("h2", { id: "curve" }, "Specification curve"),
    some.map((one) => {
      const sorted = [...one.points].sort((a, b) => (a.estimate ?? 0) - (b.estimate ?? 0));
      return h(
        "div",
        { class: "plot-and-table" },
        h(
          "figure",
          { class: "plot-box" },
          intervalPlot({
            label: `${one.first} minus ${one.second} under all variants`,
            zero: 0,
            rows: sorted.map((point) => ({
              ...point,
              name: point.variant,
              mark: point.variant === "as planned" ? "planned" : "",
            })),
          }),
          h(
            "figcaption",
            { class: "hint" },
            `${one.first} − ${one.second}, under each variant that should not matter, from the lowest to the highest.`,
          ),
        ),
        table(
          "Specification curve",
          ["Variant", { text: "Difference", class: "num" }, { text: "Interval", class: "num" }, "Verdict"],
          sorted.map((point) => [
            point.variant,
            number(point.estimate),
            interval(point),
            point.verdict ?? "–",
          ]),
        ),
      );
    }),
  );
}

function isNumber(value) {
  return typeof value === "boolean" || Number.isFinite(value);
}

function interval({ low, high }) {
  return Number.isFinite(low) && Number.isFinite(high) ? `${number(low)} to ${number(high)}` : "–";
}

function probability(p) {
  if (!Number.isFinite(p)) return "–";
  return p < 0.0001 ? "<0.0001" : p.toPrecision(2);
}

function shares(categories) {
  return (
    Object.entries(categories ?? {})
      .map(([name, { estimate }]) => `${name} ${Math.round(100 * estimate)} %`)
      .join(", ") || "–"
  );
}
