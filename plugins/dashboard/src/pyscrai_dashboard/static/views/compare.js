// Two runs side by side, aligned where they part.

import { get, runPath } from "../api.js";
import { fill, h, table, writing } from "../dom.js";
import { audienceText, body, family, who } from "../event.js";
import { brief, count, inline, money, number, plural } from "../format.js";
import { setQuery, title } from "../router.js";
import { RunLog } from "../run_log.js";
import { badge } from "../status.js";
import { VirtualList } from "../virtual.js";

const SIDES = ["left", "right"];

export async function compare(root, _parts, query, signal) {
  title("Compare");
  const ids = SIDES.map((side) => query.get(side));
  if (!ids[0] || !ids[1]) {
    fill(
      root,
      h("h1", null, "Compare two runs"),
      h(
        "p",
        { class: "empty" },
        "Select two runs in the ",
        h("a", { href: "/" }, "overview"),
        ", or choose Compare in a run.",
      ),
    );
    return;
  }
  const runs = await Promise.all(ids.map((id) => get(runPath(id), {}, signal)));
  const found = await get("/api/compare", { left: runs[0].id, right: runs[1].id }, signal);
  const logs = await Promise.all(runs.map((run) => new RunLog(run.id, signal).load()));
  signal.throwIfAborted();
  title(`${brief(runs[0].id)} and ${brief(runs[1].id)}`);
  new Comparison(root, runs, logs, found, query, signal);
}

class Comparison {
  constructor(root, runs, logs, found, query, signal) {
    Object.assign(this, { runs, logs, found, signal });
    this.agents = [...new Set(runs.flatMap((run) => (run.agents ?? []).map((agent) => agent.name)))];
    this.onlyDifferent = query.get("only") === "different";
    this.chosen = -1;
    this.same = logs.every((log) => log.rows.length === found.common);
    this.list = new VirtualList({
      row: (index) => this.row(index),
      need: (from, to) => this.need(from, to),
      estimate: 56,
      props: { class: "aligned", role: "feed", "aria-label": "Aligned events", tabindex: "0" },
    });
    for (const log of logs) log.listen(() => this.list.redraw());
    this.list.element.addEventListener("keydown", (event) => this.key(event));
    signal.addEventListener("abort", () => this.list.close());
    this.total = h("span", { class: "dim total", role: "status" });
    fill(root, this.head(), this.outcomes(), this.manifest(), this.transcripts());
    root.classList.add("compare-view");
    this.select();
    if (!this.onlyDifferent && query.get("only") === null && found.common && !this.same) this.toParting();
  }

  head() {
    const kin =
      this.runs[1].parent === this.runs[0].id
        ? "The right one is a fork of the left one. "
        : this.runs[0].parent === this.runs[1].id
          ? "The left one is a fork of the right one. "
          : "";
    const { common } = this.found;
    return [
      h("div", { class: "head" }, h("h1", null, "Two runs")),
      h(
        "div",
        { class: "pair-heads" },
        this.runs.map((run, at) =>
          h(
            "div",
            { class: "run-card" },
            h("span", { class: "side" }, SIDES[at]),
            h(
              "a",
              { class: "run-name", href: `/runs/${encodeURIComponent(run.id)}` },
              h("bdi", null, run.scenario),
              " ",
              h("span", { class: "id" }, brief(run.id)),
            ),
            badge(run.status),
            h(
              "span",
              { class: "dim" },
              `seed ${run.seed} · ${plural(run.events, "event")} · ${money(run.cost)}`,
            ),
          ),
        ),
      ),
      h(
        "p",
        { class: "parting" },
        kin,
        this.same
          ? "Their events are the same from beginning to end."
          : common === 0
            ? "They differ from the first event on."
            : `They share the first ${plural(common, "event")}, and part at event ${common + 1}.`,
        this.found.cut && " Only the first events were compared: the logs are very long.",
      ),
    ];
  }

  outcomes() {
    const { outcomes } = this.found;
    if (!outcomes.length) return null;
    const rows = outcomes.map(({ name, left, right }) => {
      const same = JSON.stringify(left) === JSON.stringify(right);
      return [
        name,
        show(left),
        show(right),
        same ? h("span", { class: "dim" }, "same") : difference(left, right),
      ];
    });
    return h(
      "section",
      null,
      h("h2", null, "Outcomes"),
      table(
        "Outcomes of the two runs",
        [
          "Outcome",
          { text: "Left", class: "num" },
          { text: "Right", class: "num" },
          { text: "Difference", class: "num" },
        ],
        rows,
      ),
    );
  }

  manifest() {
    const { differences } = this.found;
    const rows = differences.map(({ path, left, right }) => [h("code", null, path), show(left), show(right)]);
    return h(
      "section",
      null,
      h(
        "details",
        { open: differences.length <= 8 },
        h(
          "summary",
          null,
          h("h2", null, "What was different about them "),
          h("span", { class: "dim" }, plural(differences.length, "difference")),
        ),
        rows.length === 0
          ? h("p", { class: "hint" }, "Scenario, settings and software are the same.")
          : table("Differences of the manifests", ["Where", "Left", "Right"], rows),
      ),
    );
  }

  transcripts() {
    const only = h("input", {
      type: "checkbox",
      checked: this.onlyDifferent,
      onchange: (event) => {
        this.onlyDifferent = event.target.checked;
        setQuery({ only: this.onlyDifferent ? "different" : "" });
        this.select();
      },
    });
    return h(
      "section",
      { "aria-label": "Transcripts" },
      h(
        "div",
        { class: "filters" },
        h("h2", null, "Transcripts"),
        !this.same &&
          this.found.common > 0 &&
          h("button", { type: "button", onclick: () => this.toParting() }, "To where they part"),
        !this.same && h("label", { class: "check" }, only, "Only from there on"),
        this.total,
      ),
      h(
        "div",
        { class: "aligned-heads", "aria-hidden": "true" },
        SIDES.map((side, at) =>
          h("span", null, h("span", { class: "side" }, side), ` ${brief(this.runs[at].id)}`),
        ),
      ),
      this.list.element,
    );
  }

  select() {
    const { aligned, common } = this.found;
    this.pairs = this.onlyDifferent ? aligned.slice(common) : aligned;
    this.total.textContent = `${count(this.pairs.length)} of ${plural(aligned.length, "row")}`;
    this.list.reset(this.pairs.length);
  }

  toParting() {
    const at = this.onlyDifferent ? 0 : Math.min(this.found.common, this.pairs.length - 1);
    requestAnimationFrame(() => this.list.show(Math.max(0, at - 1), { start: true }));
  }

  need(from, to) {
    this.logs.forEach((log, side) => {
      const seqs = this.pairs
        .slice(Math.max(0, from - 30), to + 30)
        .map((pair) => pair[side])
        .filter((seq) => seq !== null);
      log.need(seqs.sort((a, b) => a - b)).catch(() => {});
    });
  }

  row(index) {
    const [left, right] = this.pairs[index];
    const events = [left, right].map((seq, side) => (seq === null ? null : this.logs[side].events.get(seq)));
    const shared = left !== null && right !== null && left === right && left <= this.found.common;
    const same = shared || (events[0] && events[1] && text(events[0]) === text(events[1]));
    const parts = index === (this.onlyDifferent ? 0 : this.found.common);
    const cells = [left, right].map((seq, side) =>
      h(
        "div",
        { class: `cell${seq === null ? " nothing" : ""}` },
        h("span", { class: "unseen" }, `${SIDES[side]}: `),
        this.cell(seq, side, events[side]),
      ),
    );
    return h(
      "article",
      {
        class: `aligned-row${same ? " same" : " different"}${parts ? " parts" : ""}`,
        role: "article",
        tabindex: index === this.chosen ? "0" : "-1",
        "aria-posinset": index + 1,
        "aria-setsize": this.pairs.length,
        "aria-label": same ? `Row ${index + 1}, the same` : `Row ${index + 1}, different`,
      },
      cells,
    );
  }

  cell(seq, side, event) {
    if (seq === null) return h("span", { class: "dim" }, "nothing");
    const [, step, kind, source] = this.logs[side].rows[this.logs[side].at.get(seq)];
    return [
      h(
        "a",
        {
          class: "event-seq num",
          href: `/runs/${encodeURIComponent(this.runs[side].id)}?event=${seq}`,
          tabindex: "-1",
          title: `step ${step}`,
        },
        seq,
      ),
      who(source, this.agents),
      " ",
      kind !== "say" && h("span", { class: "kind" }, kind),
      event &&
        audienceText(event) &&
        family(kind) === "say" &&
        h("span", { class: "to" }, audienceText(event)),
      " ",
      h("span", { class: "text" }, event ? body(event) : null),
    ];
  }

  key(event) {
    if (writing(event.target)) return;
    const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const before = this.chosen;
    this.chosen = Math.max(0, Math.min(this.pairs.length - 1, this.chosen + moves[event.key]));
    this.list.refresh([before, this.chosen]);
    this.list.show(this.chosen)?.focus({ preventScroll: true });
  }
}

function text({ kind, source, payload, audience, step }) {
  return JSON.stringify([step, kind, source, audience, payload]);
}

function show(value) {
  if (value === undefined || value === null) return h("span", { class: "dim" }, "–");
  return typeof value === "number" ? number(value) : inline(value);
}

function difference(left, right) {
  if (typeof left !== "number" || typeof right !== "number")
    return h("span", { class: "strong" }, "different");
  const by = right - left;
  return h("span", { class: "strong" }, `${by > 0 ? "+" : "−"}${number(Math.abs(by))}`);
}
