// The world at a step: the state, what changed, and what each agent could see.

import { get, runPath } from "../api.js";
import { fill, h, select } from "../dom.js";
import { inline, plural } from "../format.js";
import { failure } from "../router.js";

export class World {
  /** `context` is the view of the run; `jump(seq)` goes to an event. */
  constructor(context, jump) {
    this.context = context;
    this.jump = jump;
    this.agent = "";
    this.element = h("div", { class: "world" }, h("p", { class: "loading" }, "Reading the world…"));
  }

  /** Show the state after this step. */
  async show(step) {
    this.step = step;
    if (this.busy) return; // the latest step is read when the answer is here
    this.busy = true;
    try {
      while (this.shownStep !== this.step || this.shownAgent !== this.agent) {
        const [at, agent] = [this.step, this.agent];
        const answer = await get(runPath(this.context.id, "state"), { step: at, agent }, this.context.signal);
        [this.shownStep, this.shownAgent] = [at, agent];
        this.draw(answer);
      }
    } catch (error) {
      if (!this.context.signal.aborted) fill(this.element, failure(error));
      this.shownStep = null;
    } finally {
      this.busy = false;
    }
  }

  /** The step that is shown has changed, since the run goes on. */
  again() {
    this.shownStep = null;
    return this.show(this.step);
  }

  draw({ state, agents, groups, changes = [], seen = null }) {
    const changed = new Map(changes.map((one) => [one.path, one]));
    const choice = select(
      [["", "the researcher"], ...this.context.agents],
      this.agent,
      (name) => {
        this.agent = name;
        this.show(this.step);
      },
      { "aria-label": "As seen by" },
    );
    const held = this.element.contains(document.activeElement) && document.activeElement.tagName === "SELECT";
    fill(
      this.element,
      h("div", { class: "world-who" }, h("span", null, "As seen by "), choice),
      h(
        "h2",
        null,
        changes.length ? `Changed in step ${this.shownStep}` : `Nothing changed in step ${this.shownStep}`,
      ),
      changes.length > 0 &&
        h(
          "ul",
          { class: "changes", role: "list" },
          changes.map((one) => this.change(one)),
        ),
      h("h2", null, "World"),
      tree(state, "", changed),
      section("Private to agents", agents, "agents", changed),
      section("Private to groups", groups, "groups", changed),
      this.agent && seen && this.seenBy(seen),
    );
    if (held) choice.focus();
  }

  change({ path, before, after, seq }) {
    const was = before === undefined || before === null ? null : h("del", null, inline(before));
    return h(
      "li",
      null,
      h("code", null, path),
      h(
        "span",
        { class: "change-values" },
        was,
        was && h("span", { "aria-hidden": "true" }, " → "),
        h("ins", null, inline(after)),
      ),
      seq && h("button", { class: "link", type: "button", onclick: () => this.jump(seq) }, `event ${seq}`),
    );
  }

  seenBy(seen) {
    return [
      h("h2", null, `${this.agent} could see ${plural(seen.length, "event")} of this step`),
      h(
        "ul",
        { class: "seen", role: "list" },
        seen.map((seq) =>
          h(
            "li",
            null,
            h("button", { class: "link", type: "button", onclick: () => this.jump(seq) }, this.describe(seq)),
          ),
        ),
      ),
    ];
  }

  describe(seq) {
    const row = this.context.log.rows[this.context.log.at.get(seq)];
    return row ? `${seq}. ${row[3]}: ${row[2]}` : `event ${seq}`;
  }
}

function section(name, values, prefix, changed) {
  const some = Object.entries(values ?? {}).filter(([, state]) => state && Object.keys(state).length > 0);
  if (!some.length) return null;
  const open = some.length <= 4;
  return h(
    "details",
    { open },
    h("summary", null, `${name} (${some.length})`),
    some.map(([owner, state]) => [h("h3", null, owner), tree(state, `${prefix}.${owner}.`, changed)]),
  );
}

/** A state as rows of path and value; what changed is marked. */
function tree(state, prefix, changed) {
  const rows = [];
  collect(state ?? {}, "", rows);
  if (!rows.length) return h("p", { class: "hint" }, "Empty.");
  return h(
    "dl",
    { class: "state" },
    rows.map(([path, value]) => {
      const mark = changed.has(prefix + path) || changed.has(path);
      return h(
        "div",
        { class: mark ? "state-row is-changed" : "state-row" },
        h("dt", null, path),
        h("dd", null, inline(value), mark && h("span", { class: "unseen" }, " (changed)")),
      );
    }),
  );
}

function collect(value, path, rows) {
  const nested = value !== null && typeof value === "object" && !Array.isArray(value);
  if (!nested || (path && (Object.keys(value).length === 0 || rows.length > 500))) {
    rows.push([path, value]);
    return;
  }
  for (const [key, one] of Object.entries(value)) collect(one, path ? `${path}.${key}` : key, rows);
}
