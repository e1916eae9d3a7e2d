// An event as text: who did what, to whom.

import { h } from "./dom.js";
import { inline, number } from "./format.js";

const KERNEL = { "@kernel": "kernel", "@outside": "from outside", "@schedule": "schedule" };

/** Who it comes from, as readers know it. */
export function sourceName(source) {
  return KERNEL[source] ?? source;
}

/** The number of an agent's colour. */
export function hue(name, agents) {
  const at = agents.indexOf(name);
  return at < 0 ? "none" : String(at % 8);
}

/** Who it comes from, with their colour. A long name is cut at its end, in whichever direction it is written. */
export function who(source, agents) {
  const name = sourceName(source);
  return h(
    "span",
    { class: "event-who", "data-hue": hue(source, agents), title: name },
    h("span", { class: "name", dir: "auto" }, name),
  );
}

/** Whether an event is for all, some, or the researcher alone. */
export function audienceText(event) {
  if (event.audience.includes("*")) return "";
  if (event.audience.length === 0) return "researcher only";
  return `to ${event.audience.join(", ")}`;
}

/** What kind of thing it is, for its look. */
export function family(kind) {
  return (
    {
      say: "say",
      thought: "thought",
      change: "change",
      rejected: "rejected",
      tool: "tool",
      "turn.failed": "failed",
      passed: "passed",
    }[kind] ?? "action"
  );
}

function pairs(payload) {
  return Object.entries(payload)
    .filter(([name]) => name !== "truncated")
    .map(([name, value]) =>
      h("span", { class: "pair" }, h("span", { class: "dim" }, `${name}: `), h("bdi", null, inline(value))),
    );
}

function cut(payload) {
  return (
    payload.truncated &&
    h("span", { class: "trouble", title: "The model was cut off at max_tokens" }, "cut off")
  );
}

const BODIES = {
  say: ({ payload }) => [payload.text, " ", cut(payload)],
  thought: ({ payload }) => [payload.text, payload.by && h("span", { class: "dim" }, ` (${payload.by})`)],
  change: ({ payload }) => [
    h("code", null, payload.path),
    payload.op === "add" ? " += " : " = ",
    h("code", null, inline(payload.value)),
  ],
  rejected: ({ payload }) => [
    h("span", { class: "strong" }, payload.kind),
    " ",
    pairs(payload.payload ?? {}),
    h("bdi", { class: "reason" }, `not possible: ${payload.reason}`),
  ],
  tool: ({ payload }) => [
    h("code", null, `${payload.name}(${inline(payload.arguments).slice(1, -1)})`),
    " ",
    "error" in payload
      ? h("span", { class: "reason" }, `failed: ${payload.error}`)
      : h("span", { class: "result" }, "\u2192 ", h("bdi", null, inline(payload.result))),
  ],
  "turn.failed": ({ payload }) => [h("span", { class: "reason" }, `turn skipped: ${payload.error}`)],
  passed: ({ payload }) => [`passed${payload.reason ? `: ${payload.reason}` : ""}`],
};

/** The nodes of an event's text. */
export function body(event) {
  if (event.cut)
    return [
      pairs(event.payload),
      " ",
      h("span", { class: "dim" }, `(shortened; ${number(event.cut)} bytes)`),
    ];
  const known = BODIES[event.kind];
  if (known && isPlain(event)) return known(event);
  const { text, ...rest } = event.payload;
  if (typeof text !== "string") return pairs(event.payload);
  return [text, Object.keys(rest).length > 0 && " ", pairs(rest), cut(event.payload)];
}

// A scenario may declare kinds of the same name with other keys.
function isPlain({ kind, payload }) {
  const needed = {
    say: "text",
    thought: "text",
    change: "path",
    rejected: "reason",
    tool: "name",
    "turn.failed": "error",
    passed: "reason",
  };
  return typeof payload[needed[kind]] === "string";
}

/** What a reader of the screen hears for a row. */
export function spoken(event) {
  return `${event.seq}, step ${event.step}, ${sourceName(event.source)}, ${event.kind}`;
}
