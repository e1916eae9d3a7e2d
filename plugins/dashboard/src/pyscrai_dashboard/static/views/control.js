// What a person can do to a run: pause, continue, stop, inject, fork, answer.

import { post, runPath } from "../api.js";
import { announce, field, fill, h, unique } from "../dom.js";
import { form, formDialog } from "../dialog.js";
import { brief, parseLines, pretty } from "../format.js";
import { failure, navigate } from "../router.js";
import { questions } from "../status.js";
import { execute } from "./approval.js";

const ACTIONS = {
  pause: ["Pause", "Asked to pause before the next step", (run) => run.status === "running"],
  continue: [
    "Continue",
    "Asked to continue",
    (run) => ["paused", "interrupted", "stopped", "failed"].includes(run.status),
  ],
  stop: ["Stop", "Asked to stop", (run) => run.status === "running" || run.status === "paused"],
};

export class Control {
  /** `current()` gives the run as it is now. */
  constructor(id, current) {
    this.id = id;
    this.current = current;
    this.readOnly = false;
    this.result = h("div", { class: "control-result", role: "status" });
    this.buttons = h("div", { class: "buttons" });
    this.element = h("div", { class: "control" }, this.buttons, this.result);
    this.show();
  }

  show() {
    const run = this.current();
    const key = `${run.status} ${run.parent}`;
    if (key === this.shown) return;
    fill(this.result); // what was asked for is done
    this.shown = key;
    const usable = this.readOnly ? [] : Object.entries(ACTIONS).filter(([, [, , fits]]) => fits(run));
    const held = this.buttons.contains(document.activeElement);
    fill(
      this.buttons,
      usable.map(([name, [text, said]]) =>
        h("button", { type: "button", "data-act": name, onclick: () => this.act(name, said) }, text),
      ),
      !this.readOnly &&
        run.status !== "completed" &&
        h(
          "button",
          { type: "button", "data-act": "inject", onclick: () => this.inject() },
          "Inject an event",
        ),
      !this.readOnly &&
        h("button", { type: "button", "data-act": "fork", onclick: () => this.fork() }, "Fork"),
      h("button", { type: "button", "data-act": "compare", onclick: () => this.compare() }, "Compare"),
    );
    if (held) this.buttons.querySelector("button")?.focus();
  }

  setReadOnly(readOnly) {
    this.readOnly = readOnly;
    this.shown = "";
    this.show();
  }

  async act(name, said) {
    const before = this.shown;
    const done = () => this.shown === before && fill(this.result, h("p", { class: "hint" }, said, "."));
    if (name === "continue" && ["stopped", "failed"].includes(this.current().status)) {
      this.proceed(done);
      return;
    }
    try {
      await execute(runPath(this.id, name), {}, done);
    } catch (error) {
      fill(this.result, failure(error));
    }
  }

  /** Continue a run that a budget or a failure ended: it may need a change. */
  proceed(done) {
    const run = this.current();
    const limits = Object.entries(run.limits ?? {}).map(([name, value]) => `limits.${name} = ${value}`);
    const changes = h("textarea", { rows: "4", spellcheck: "false", placeholder: "limits.calls = 500" });
    formDialog(
      `Continue ${run.scenario} ${brief(run.id)}`,
      "Continue",
      [
        run.error && h("p", null, run.error),
        field(
          "Changes",
          changes,
          "Limits, rules and the like, one on a line, PATH=VALUE, as pyscrai resume --set has them.",
        ),
        limits.length > 0 && h("p", { class: "hint" }, `So far: ${limits.join(", ")}`),
      ],
      () => execute(runPath(this.id, "continue"), { set: parseLines(changes.value) }, done),
    );
  }

  inject() {
    const run = this.current();
    const kinds = kindNames(run);
    const kind = h("input", { type: "text", required: true, list: unique("kinds"), autocomplete: "off" });
    const payload = h("textarea", { rows: "5", spellcheck: "false", value: '{\n  "text": ""\n}' });
    const audience = h("input", { type: "text", placeholder: "everyone", autocomplete: "off" });
    let edited = false;
    payload.addEventListener("input", () => {
      edited = true;
    });
    kind.addEventListener("change", () => {
      if (!edited) payload.value = pretty(example(kind.value, run));
    });
    formDialog(
      "Inject an event",
      "Inject",
      [
        h("p", null, "It is added at the beginning of the next step, and recorded with its author."),
        field(
          "Kind",
          kind,
          "The kind “change” changes the state. Other kinds are those that the scenario declares.",
          h(
            "datalist",
            { id: kind.getAttribute("list") },
            kinds.map((one) => h("option", { value: one })),
          ),
        ),
        field("Payload (JSON)", payload),
        field("Audience", audience, "Names of agents and groups, separated by commas. Empty: everyone."),
      ],
      async () => {
        let value;
        try {
          value = JSON.parse(payload.value);
        } catch (error) {
          throw new Error(`Payload: this is no JSON: ${error.message}`, { cause: error });
        }
        const names = audience.value
          .split(",")
          .map((one) => one.trim())
          .filter(Boolean);
        await post(runPath(this.id, "inject"), {
          kind: kind.value.trim(),
          payload: value,
          audience: names.length ? names : null,
        });
        fill(
          this.result,
          h("p", { class: "hint" }, "Injected: it is added at the beginning of the next step."),
        );
      },
    );
  }

  fork(at = null) {
    const run = this.current();
    const where = h("input", {
      type: "number",
      min: "1",
      max: String(run.events),
      required: true,
      value: at ?? run.events,
    });
    const overrides = h("textarea", { rows: "4", spellcheck: "false", placeholder: "world.state.price = 9" });
    const seed = h("input", { type: "number", step: "1" });
    formDialog(
      `Fork ${run.scenario} ${brief(run.id)}`,
      "Fork and go on",
      [
        h(
          "p",
          null,
          "All up to the end of the event's step stays, and is not paid for again. The run itself stays as it is.",
        ),
        field("At event", where, `From 1 to ${run.events}.`),
        field("Changes from then on", overrides, "One on a line, PATH=VALUE, as --set has them."),
        field("Seed", seed, "Empty: the same."),
      ],
      async () => {
        const order = {
          at: Number(where.value),
          set: parseLines(overrides.value),
          seed: seed.value === "" ? null : Number(seed.value),
        };
        await execute(runPath(this.id, "fork"), order, (answer) => {
          announce("The fork has started");
          navigate(`/runs/${encodeURIComponent(answer.run)}`);
        });
      },
    );
  }

  compare() {
    const run = this.current();
    const others = [
      ...(run.parent ? [[run.parent, `its parent ${brief(run.parent)}`]] : []),
      ...(run.forks ?? []).map((fork) => [fork, `its fork ${brief(fork)}`]),
    ];
    const other = h("input", {
      type: "text",
      value: others[0]?.[0] ?? "",
      list: unique("runs"),
      required: true,
      autocomplete: "off",
      spellcheck: "false",
    });
    formDialog(
      "Compare with another run",
      "Compare",
      [
        field(
          "The other run",
          other,
          "Its id, or the beginning of it. The overview has them all.",
          h(
            "datalist",
            { id: other.getAttribute("list") },
            others.map(([id, text]) => h("option", { value: id }, text)),
          ),
        ),
      ],
      async () => {
        navigate(
          `/compare?left=${encodeURIComponent(run.parent && other.value === run.parent ? run.parent : run.id)}` +
            `&right=${encodeURIComponent(run.parent && other.value === run.parent ? run.id : other.value.trim())}`,
        );
      },
    );
  }
}

function kindNames(run) {
  const names = Array.isArray(run.kinds) ? run.kinds : Object.keys(run.kinds ?? {});
  return [...new Set(["change", ...names])].filter(
    (name) => !["rejected", "tool", "turn.failed", "thought"].includes(name),
  );
}

/** A payload to begin with, from the kind's schema. */
function example(kind, run) {
  if (kind === "change") return { path: "", op: "set", value: null };
  const schema = Array.isArray(run.kinds) ? null : run.kinds?.[kind];
  const properties = schema?.properties ?? schema?.schema?.properties;
  if (!properties) return { text: "" };
  return Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, start(one)]));
}

function start(schema) {
  if (schema.enum) return schema.enum[0];
  return (
    {
      string: "",
      integer: schema.minimum ?? 0,
      number: schema.minimum ?? 0,
      boolean: false,
      array: [],
      object: {},
    }[schema.type] ?? null
  );
}

/** The questions that wait for a person, each with a box for the answer. */
export class Questions {
  constructor(id) {
    this.id = id;
    this.readOnly = false;
    this.boxes = new Map();
    this.element = h("div", { class: "questions" });
  }

  setReadOnly(readOnly) {
    this.readOnly = readOnly;
    if (!readOnly) return;
    this.boxes.clear();
    fill(this.element);
    if (this.run) this.show(this.run);
  }

  show(run) {
    this.run = run;
    const asked = questions(run);
    const ids = new Set(asked.map((one) => String(one.question)));
    for (const [id, box] of this.boxes) {
      if (ids.has(id)) continue;
      box.remove();
      this.boxes.delete(id);
    }
    for (const one of asked) {
      const id = String(one.question);
      if (this.boxes.has(id)) continue;
      const box = this.box(one);
      this.boxes.set(id, box);
      this.element.append(box);
      announce(`${one.agent} is asked: what do they say or do?`);
    }
  }

  box({ question, agent, prompt }) {
    const heading = unique("question");
    const answer = h("textarea", {
      rows: "3",
      "aria-labelledby": heading,
      placeholder: "What do you say or do? /help explains the answers.",
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
      },
    });
    const said = h("p", { class: "hint", role: "status" });
    const send = async (text) => {
      await post(runPath(this.id, "answer"), { question, text });
      answer.value = "";
      said.textContent = "Sent.";
    };
    return h(
      "section",
      { class: "question", "aria-labelledby": heading },
      h("h2", { id: heading }, `${agent}: it is your turn`),
      h(
        "div",
        { class: "question-parts" },
        h("pre", { tabindex: "0" }, prompt),
        this.readOnly
          ? h("p", { class: "hint" }, "This dashboard is read only: answer where the run was started.")
          : form(
              "Answer",
              [
                answer,
                h("p", { class: "hint" }, "Ctrl+Enter sends it. An empty answer passes the turn."),
                said,
              ],
              () => send(answer.value),
            ),
      ),
    );
  }
}
