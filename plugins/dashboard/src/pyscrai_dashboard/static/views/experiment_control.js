// What a person can do to an experiment that some process runs: pause, continue, change limits, try failed trials again.

import { address, post } from "../api.js";
import { field, fill, h } from "../dom.js";
import { formDialog } from "../dialog.js";
import { count } from "../format.js";
import { failure } from "../router.js";

const PATH = "/api/panels/experiments";
const ACTIONS = {
  pause: ["Pause", ({ paused }) => !paused],
  continue: ["Continue", ({ paused }) => paused],
  retry: ["Retry failed trials", ({ failed, retrying }) => failed > 0 && !retrying],
};
const PROVIDER = {
  requests_per_minute: "requests per minute",
  tokens_per_minute: "tokens per minute",
  concurrency: "simultaneous calls",
};

export class ExperimentControl {
  /** `moved()` is called after an order was carried out. */
  constructor(name, readOnly, moved) {
    Object.assign(this, { name, readOnly, moved, shown: null });
    this.buttons = h("div", { class: "buttons" });
    this.result = h("div", { class: "control-result", role: "status" });
    this.element = h("div", { class: "control" }, this.buttons, this.result);
  }

  /** `state` is what pyscrai-experiments says of the process that runs it; null: there is none. */
  show(state) {
    this.state = state;
    this.element.hidden = !state;
    if (!state) return;
    const key = JSON.stringify([state.paused, state.failed > 0, state.retrying, state.limits]);
    if (key === this.shown) return;
    this.shown = key;
    const held = this.buttons.contains(document.activeElement);
    const usable = this.readOnly ? [] : Object.entries(ACTIONS).filter(([, [, fits]]) => fits(state));
    fill(
      this.buttons,
      usable.map(([action, [text]]) =>
        h("button", { type: "button", "data-act": action, onclick: () => this.act(action) }, text),
      ),
      !this.readOnly &&
        h("button", { type: "button", "data-act": "limits", onclick: () => this.limits() }, "Change limits"),
    );
    fill(
      this.result,
      limitLines(state.limits).map((line) => h("p", { class: "hint" }, line)),
      state.retrying && h("p", { class: "hint" }, "Failed trials are tried again when the others are over."),
    );
    if (held) this.buttons.querySelector("button")?.focus();
  }

  async send(order) {
    this.show(await post(address(PATH, { experiment: this.name }), order));
    this.moved();
  }

  async act(action) {
    const buttons = [...this.buttons.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    try {
      await this.send({ action });
    } catch (error) {
      fill(this.result, failure(error));
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  limits() {
    const { limits, providers } = this.state;
    const input = (value) =>
      h("input", { type: "number", min: "1", step: "1", placeholder: "as it is", value: value ?? "" });
    const concurrency = input(limits.concurrency);
    const of = Object.fromEntries(
      providers.map((name) => [
        name,
        Object.fromEntries(
          Object.keys(PROVIDER).map((key) => [key, input(limits.providers?.[name]?.[key])]),
        ),
      ]),
    );
    formDialog(
      `Limits of ${this.name}`,
      "Change",
      [
        h("p", null, "They hold for what begins from now on, until the experiment ends. An empty field changes nothing."),
        field("Replicates at the same time", concurrency),
        providers.map((name) =>
          h(
            "fieldset",
            null,
            h("legend", null, "Provider ", h("bdi", null, name)),
            Object.entries(PROVIDER).map(([key, text]) =>
              field(text[0].toUpperCase() + text.slice(1), of[name][key]),
            ),
          ),
        ),
      ],
      async () => {
        const given = numbers({ concurrency });
        const chosen = Object.entries(of)
          .map(([name, inputs]) => [name, numbers(inputs)])
          .filter(([, values]) => Object.keys(values).length);
        if (chosen.length) given.providers = Object.fromEntries(chosen);
        if (!Object.keys(given).length) throw new Error("Limits: nothing is set; give at least one number");
        await this.send({ action: "limits", limits: given });
      },
    );
  }
}

function numbers(inputs) {
  return Object.fromEntries(
    Object.entries(inputs)
      .filter(([, input]) => input.value !== "")
      .map(([key, input]) => [key, Number(input.value)]),
  );
}

/** The limits that were changed, as sentences. */
function limitLines({ concurrency, providers = {} }) {
  return [
    concurrency && `New limit: ${count(concurrency)} replicates at the same time`,
    ...Object.entries(providers).map(
      ([name, values]) =>
        `New limits of ${name}: ` +
        Object.entries(values)
          .map(([key, value]) => `${count(value)} ${PROVIDER[key]}`)
          .join(", "),
    ),
  ].filter(Boolean);
}
