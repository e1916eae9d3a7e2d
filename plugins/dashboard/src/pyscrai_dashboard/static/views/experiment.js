// An experiment: its claim, its arms as trials finish, factors, and the trials behind each point.

import { get } from "../api.js";
import { announce, field, fill, h, select, table, throttle } from "../dom.js";
import { count, money, number, seconds } from "../format.js";
import { getInfo } from "../info.js";
import { follow } from "../live.js";
import { extent, factorPlot, intervalPlot } from "../plots.js";
import { failure, setQuery, title } from "../router.js";
import { badge, progress } from "../status.js";
import { panelTab } from "./panels.js";
import { Trials } from "./trials.js";

const MOST_POINTS = 150; // for each arm

export async function experiment(root, { name: given }, query, signal) {
  const name = decodeURIComponent(given);
  title(name);
  const view = new ExperimentView(root, name, query, signal);
  await view.read();
  const info = await getInfo();
  signal.throwIfAborted();
  for (const panel of (info.panels ?? []).filter((one) => one.for === "experiment")) {
    root.append(h("section", null, h("h2", null, panel.title), await panelTab(panel, { experiment: view.content }, signal)));
  }
  const again = throttle(() => view.read().catch((error) => view.failed(error)), 1500);
  let first = true;
  follow("/api/stream", {
    experiments: ({ changed }) => {
      if (!changed || changed.some((one) => one.name === name)) again();
    },
  }, { signal, onOpen: () => {
    if (!first) again();
    first = false;
  } });
}

class ExperimentView {
  constructor(root, name, query, signal) {
    Object.assign(this, { name, signal, outcome: query.get("outcome") });
    this.parts = Object.fromEntries(["gone", "head", "claim", "arms", "comparisons", "factors", "curve", "warnings"]
      .map((part) => [part, h("div", { class: `part-${part}` })]));
    this.trials = new Trials();
    fill(root, this.parts.gone, this.parts.head, this.parts.claim, this.parts.arms, this.parts.comparisons, this.parts.factors,
      this.parts.curve, this.trials.element, this.parts.warnings);
    root.classList.add("experiment-view");
  }

  async read() {
    const content = await get(`/api/experiments/${encodeURIComponent(this.name)}`, {}, this.signal);
    const before = this.content;
    this.content = content;
    fill(this.parts.gone);
    if (before && before.status !== content.status) announce(`The experiment is ${content.status}`);
    this.draw();
  }

  failed(error) {
    if (this.signal.aborted) return;
    fill(this.parts.gone, failure(error.status === 404 ? { message: "This experiment is no longer in the store. What you see is what was read before." } : error));
  }

  draw() {
    const { content } = this;
    const names = content.outcomes.map((one) => one.name);
    if (!names.includes(this.outcome)) this.outcome = names[0] ?? null;
    const runs = content.runs ?? (Array.isArray(content.trials) ? content.trials : []);
    const held = this.parts.arms.contains(document.activeElement) && document.activeElement.tagName === "SELECT";
    fill(this.parts.head, this.head());
    fill(this.parts.claim, content.why && h("div", { class: "notice" }, h("p", null, content.why)), this.claim());
    fill(this.parts.arms, this.outcome ? this.arms(runs) : h("p", { class: "empty" }, "No outcomes yet: no trial has finished."));
    fill(this.parts.comparisons, this.comparisons());
    fill(this.parts.factors, this.factors());
    fill(this.parts.curve, this.curve());
    fill(this.parts.warnings, this.warnings());
    this.trials.show(runs, content.runs_total ?? runs.length, names);
    if (held) this.parts.arms.querySelector("select")?.focus();
  }

  head() {
    const { content } = this;
    const facts = [["Trials", `${count(content.done)} / ${count(content.expected)}`], ["Running", count(content.running)],
      ["Failed", count(content.failed)], ["Cost", money(content.dollars)],
      ["Time left", content.left_seconds === null ? null : seconds(content.left_seconds)]].filter(([, value]) => value !== null);
    title(`${this.name}, ${content.status}`);
    return [h("div", { class: "head" }, h("div", null, h("p", { class: "crumbs" }, h("a", { href: "/" }, "Overview"), " / experiment"),
      h("h1", null, this.name), content.description && h("p", { class: "premise" }, content.description)),
    h("a", { class: "button", href: `/?label=${encodeURIComponent(`experiment=${this.name}`)}` }, "Its runs")),
    h("div", { class: "facts" },
      h("div", { class: "fact-status" }, badge(content.status),
        progress(content.expected ? (content.done + content.failed) / content.expected : null, "Progress of the experiment")),
      h("dl", { class: "fact-list" }, facts.map(([key, value]) => h("div", null, h("dt", null, key), h("dd", { class: "num" }, value)))))];
  }

  claim() {
    const { claim } = this.content;
    if (!claim) return null;
    const details = [claim.because && ["Because", claim.because], claim.status && ["Kind", claim.status],
      claim.robust !== undefined && claim.robust !== null && ["Under all variants", claim.robust ? "the same" : "not the same"]].filter(Boolean);
    return h("section", { class: "claim", "aria-labelledby": "claim" }, h("h2", { id: "claim" }, "Claim"),
      h("p", { class: "claim-text" }, claim.text, " ", claim.verdict && h("span", { class: "verdict" }, claim.verdict)),
      h("dl", { class: "pairs tight" }, details.flatMap(([key, value]) => [h("dt", null, key), h("dd", null, value)])));
  }

  arms(runs) {
    const { content, outcome } = this;
    const { unit = "", kind } = content.outcomes.find((one) => one.name === outcome);
    const level = Math.round(100 * (content.level ?? 0.95));
    const rows = content.arms.map((arm) => ({ ...arm.outcomes?.[outcome], name: arm.name, points: this.points(runs, arm.name) }));
    const choice = select(content.outcomes.map((one) => one.name), outcome, (value) => {
      this.outcome = value;
      setQuery({ outcome: value });
      this.draw();
    });
    const drawable = rows.some((row) => Number.isFinite(row.mean));
    const thinned = rows.some((row) => row.points.thinned);
    return h("section", { "aria-labelledby": "arms" }, h("div", { class: "section-head" }, h("h2", { id: "arms" }, "Arms"),
      field("Outcome", choice)),
    h("div", { class: "plot-and-table" }, drawable && h("figure", { class: "plot-box" }, intervalPlot({ label: `${outcome} by arm`, unit,
      rows: rows.map((row) => ({ ...row, estimate: row.mean })) }),
    h("figcaption", { class: "hint" }, kind === "proportion" ? "Share" : "Mean", `, with its ${level} % interval; below it the trials: choose one for its run.`,
      thinned && ` Up to ${MOST_POINTS} trials of an arm are drawn.`)),
    table("Arms", ["Arm", { text: "n", class: "num" }, { text: "Failed", class: "num" }, { text: kind === "proportion" ? "Share" : "Mean", class: "num" },
      { text: `${level} % interval`, class: "num" }, ...(kind !== "proportion" && rows.some((row) => row.categories) ? ["Categories"] : [])],
    content.arms.map((arm, at) => [arm.name, count(rows[at].n ?? arm.n ?? arm.completed), count(arm.failed ?? 0), number(rows[at].mean), interval(rows[at]),
      ...(kind !== "proportion" && rows.some((row) => row.categories) ? [shares(rows[at].categories)] : [])]))));
  }

  /** The trials of an arm that are drawn, evenly chosen if there are many. */
  points(runs, arm) {
    const some = runs.filter((run) => run.arm === arm && isNumber(run.outcomes?.[this.outcome]));
    const step = Math.max(1, Math.ceil(some.length / MOST_POINTS));
    const points = some.filter((_, at) => at % step === 0).map((run) => ({ value: Number(run.outcomes[this.outcome]),
      href: `/runs/${encodeURIComponent(run.run)}`, title: `${arm}, replicate ${run.replicate}: ${number(run.outcomes[this.outcome])}` }));
    points.thinned = step > 1;
    return points;
  }

  comparisons() {
    const some = (this.content.comparisons ?? []).filter((one) => one.outcome === this.outcome);
    if (!some.length) return null;
    const drawable = some.filter((one) => Number.isFinite(one.estimate));
    return h("section", { "aria-labelledby": "comparisons" }, h("h2", { id: "comparisons" }, "Comparisons"),
      h("div", { class: "plot-and-table" }, drawable.length > 0 && h("figure", { class: "plot-box" }, intervalPlot({ label: `Differences in ${this.outcome}`, zero: 0,
        rows: drawable.map((one) => ({ ...one, name: `${one.first} − ${one.second}`, mark: one.planned ? "" : "unplanned" })) }),
      h("figcaption", { class: "hint" }, "Differences with their intervals. Comparisons that were not planned are exploratory, and drawn hollow.")),
      table("Comparisons", ["Comparison", "Planned", { text: "Difference", class: "num" }, { text: "Interval", class: "num" },
        { text: "p", class: "num" }, { text: "p adjusted", class: "num" }, ...(some.some((one) => one.verdict) ? ["Verdict"] : [])],
      some.map((one) => [`${one.first} − ${one.second}`, one.planned ? "yes" : "no", number(one.estimate), interval(one), probability(one.p),
        probability(one.p_adjusted), ...(some.some((other) => other.verdict) ? [one.verdict ?? "–"] : [])]))),
      h("ul", { class: "sentences" }, some.filter((one) => one.sentence).map((one) => h("li", null, one.sentence))));
  }

  factors() {
    const one = (this.content.factors ?? []).find((each) => each.outcome === this.outcome);
    if (!one?.responses?.length) return null;
    const points = one.responses.flatMap((each) => each.points);
    const domain = extent(points.flatMap((point) => [point.estimate, point.low, point.high]));
    return h("section", { "aria-labelledby": "factors" }, h("h2", { id: "factors" }, "Factors"),
      h("div", { class: "factor-plots" }, one.responses.map((each) => h("figure", { class: "plot-box" },
        h("figcaption", null, each.factor), factorPlot({ label: `${this.outcome} by ${each.factor}`, points: each.points, unit: one.unit, domain })))),
      table("Factors", ["Factor", "Level", { text: "Mean", class: "num" }, { text: "Interval", class: "num" }],
        one.responses.flatMap((each) => each.points.map((point) => [each.factor, String(point.level), number(point.estimate), interval(point)]))));
  }

  curve() {
    const some = (this.content.curve ?? []).filter((one) => one.outcome === this.outcome);
    if (!some.length) return null;
    return h("section", { "aria-labelledby": "curve" }, h("h2", { id: "curve" }, "Specification curve"),
      some.map((one) => {
        const sorted = [...one.points].sort((a, b) => (a.estimate ?? 0) - (b.estimate ?? 0));
        return h("div", { class: "plot-and-table" }, h("figure", { class: "plot-box" }, intervalPlot({ label: `${one.first} minus ${one.second} under all variants`, zero: 0,
          rows: sorted.map((point) => ({ ...point, name: point.variant, mark: point.variant === "as planned" ? "planned" : "" })) }),
        h("figcaption", { class: "hint" }, `${one.first} − ${one.second}, under each variant that should not matter, from the lowest to the highest.`)),
        table("Specification curve", ["Variant", { text: "Difference", class: "num" }, { text: "Interval", class: "num" }, "Verdict"],
          sorted.map((point) => [point.variant, number(point.estimate), interval(point), point.verdict ?? "–"])));
      }));
  }

  warnings() {
    const all = this.content.warnings ?? [];
    return all.length > 0 && h("section", { "aria-labelledby": "warnings" }, h("h2", { id: "warnings" }, "Warnings"),
      h("ul", { class: "warnings" }, all.map((one) => h("li", null, one))));
  }
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
  return Object.entries(categories ?? {}).map(([name, { estimate }]) => `${name} ${Math.round(100 * estimate)} %`).join(", ") || "–";
}

