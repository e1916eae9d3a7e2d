// An experiment: its claim, its arms as trials finish, factors, and the trials behind each point.

import { get } from "../api.js";
import { announce, field, fill, h, select, serial } from "../dom.js";
import { count, money, seconds } from "../format.js";
import { getInfo } from "../info.js";
import { follow } from "../live.js";
import { failure, setQuery, title } from "../router.js";
import { badge, progress } from "../status.js";
import { ExperimentControl } from "./experiment_control.js";
import { panelTab } from "./panels.js";
import { arms, comparisons, curve, factors } from "./report.js";
import { Trials } from "./trials.js";

export async function experiment(root, { name: given }, query, signal) {
  const name = decodeURIComponent(given);
  title(name);
  const info = await getInfo();
  const view = new ExperimentView(root, name, query, signal, info.read_only);
  await view.read();
  signal.throwIfAborted();
  for (const panel of (info.panels ?? []).filter((one) => one.for === "experiment")) {
    root.append(
      h(
        "section",
        null,
        h("h2", null, panel.title),
        await panelTab(panel, { experiment: view.content }, signal),
      ),
    );
  }
  const again = serial(() => view.read().catch((error) => view.failed(error)), 1500);
  let first = true;
  follow(
    "/api/stream",
    {
      experiments: ({ changed }) => {
        if (!changed || changed.some((one) => one.name === name)) again();
      },
    },
    {
      signal,
      onOpen: () => {
        if (!first) again();
        first = false;
      },
    },
  );
}

class ExperimentView {
  constructor(root, name, query, signal, readOnly) {
    Object.assign(this, { name, signal, outcome: query.get("outcome") });
    this.parts = Object.fromEntries(
      ["gone", "head", "claim", "arms", "comparisons", "factors", "curve", "warnings"].map((part) => [
        part,
        h("div", { class: `part-${part}` }),
      ]),
    );
    this.trials = new Trials();
    this.control = new ExperimentControl(name, readOnly, () =>
      this.read().catch((error) => this.failed(error)),
    );
    this.control.element.hidden = true;
    fill(this.parts.head, h("p", { class: "loading" }, `Reading the experiment ${name}…`));
    this.trials.element.hidden = true;
    fill(
      root,
      this.parts.gone,
      this.parts.head,
      this.control.element,
      this.parts.claim,
      this.parts.arms,
      this.parts.comparisons,
      this.parts.factors,
      this.parts.curve,
      this.trials.element,
      this.parts.warnings,
    );
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
    fill(
      this.parts.gone,
      failure(
        error.status === 404
          ? { message: `${error.message}. What you see is what was read before.` }
          : error,
      ),
    );
  }

  draw() {
    const { content } = this;
    const names = content.outcomes.map((one) => one.name);
    if (!names.includes(this.outcome)) this.outcome = names[0] ?? null;
    const runs = content.runs ?? (Array.isArray(content.trials) ? content.trials : []);
    const held =
      this.parts.arms.contains(document.activeElement) && document.activeElement.tagName === "SELECT";
    fill(this.parts.head, this.head());
    this.control.show(content.control);
    fill(
      this.parts.claim,
      content.why && h("div", { class: "notice" }, h("p", null, content.why)),
      this.claim(),
    );
    fill(
      this.parts.arms,
      this.outcome
        ? arms(content, this.outcome, runs, this.outcomeField())
        : h("p", { class: "empty" }, "No outcomes yet: no trial has finished."),
    );
    fill(this.parts.comparisons, comparisons(content, this.outcome));
    fill(this.parts.factors, factors(content, this.outcome));
    fill(this.parts.curve, curve(content, this.outcome));
    fill(this.parts.warnings, this.warnings());
    this.trials.element.hidden = false;
    this.trials.show(runs, content.runs_total ?? runs.length, names);
    if (held) this.parts.arms.querySelector("select")?.focus();
  }

  head() {
    const { content } = this;
    const facts = [
      ["Trials", `${count(content.done)} / ${count(content.expected)}`],
      ["Running", count(content.running)],
      ["Failed", count(content.failed)],
      ["Cost", money(content.dollars)],
      ["Time left", content.left_seconds === null ? null : seconds(content.left_seconds)],
    ].filter(([, value]) => value !== null);
    title(`${this.name}, ${content.status}`);
    return [
      h(
        "div",
        { class: "head" },
        h(
          "div",
          null,
          h("p", { class: "crumbs" }, h("a", { href: "/" }, "Overview"), " / experiment"),
          h("h1", null, this.name),
          content.description && h("p", { class: "premise" }, content.description),
        ),
        h(
          "a",
          { class: "button", href: `/?label=${encodeURIComponent(`experiment=${this.name}`)}` },
          "Its runs",
        ),
      ),
      h(
        "div",
        { class: "facts" },
        h(
          "div",
          { class: "fact-status" },
          badge(content.status),
          progress(
            content.expected ? (content.done + content.failed) / content.expected : null,
            "Progress of the experiment",
          ),
        ),
        h(
          "dl",
          { class: "fact-list" },
          facts.map(([key, value]) => h("div", null, h("dt", null, key), h("dd", { class: "num" }, value))),
        ),
      ),
    ];
  }

  claim() {
    const { claim } = this.content;
    if (!claim) return null;
    const details = [
      claim.because && ["Because", claim.because],
      claim.status && ["Kind", claim.status],
      claim.robust !== undefined &&
        claim.robust !== null && ["Under all variants", claim.robust ? "the same" : "not the same"],
    ].filter(Boolean);
    return h(
      "section",
      { class: "claim", "aria-labelledby": "claim" },
      h("h2", { id: "claim" }, "Claim"),
      h(
        "p",
        { class: "claim-text" },
        claim.text,
        " ",
        claim.verdict && h("span", { class: "verdict" }, claim.verdict),
      ),
      h(
        "dl",
        { class: "pairs tight" },
        details.flatMap(([key, value]) => [h("dt", null, key), h("dd", null, value)]),
      ),
    );
  }

  outcomeField() {
    const { content, outcome } = this;
    const choice = select(
      content.outcomes.map((one) => one.name),
      outcome,
      (value) => {
        this.outcome = value;
        setQuery({ outcome: value });
        this.draw();
      },
    );
    return field("Outcome", choice);
  }

  warnings() {
    const all = this.content.warnings ?? [];
    return (
      all.length > 0 &&
      h(
        "section",
        { "aria-labelledby": "warnings" },
        h("h2", { id: "warnings" }, "Warnings"),
        h(
          "ul",
          { class: "warnings" },
          all.map((one) => h("li", null, one)),
        ),
      )
    );
  }
}
