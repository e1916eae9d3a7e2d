// The panel beside the transcript: an event with the calls behind it.

import { get, runPath } from "../api.js";
import { fill, h } from "../dom.js";
import { audienceText, body, sourceName } from "../event.js";
import { count, inline, money, plural, pretty, seconds, share } from "../format.js";
import { failure } from "../router.js";
import { badge } from "../status.js";

/** Show an event in `root`: `actions` are nodes that act on it, `jump(seq)` goes to another event. */
export async function showEvent(root, { id, seq, signal, actions, jump }) {
  fill(root, h("p", { class: "loading" }, "Reading the event…"));
  let event;
  let calls;
  try {
    [event, { calls }] = await Promise.all([
      get(runPath(id, "events", seq), {}, signal),
      get(runPath(id, "events", seq, "calls"), {}, signal),
    ]);
  } catch (error) {
    if (!signal.aborted) fill(root, failure(error));
    return;
  }
  if (signal.aborted) return;
  const facts = [
    ["Event", `${event.seq}, step ${event.step}`],
    ["From", sourceName(event.source)],
    ["Kind", event.kind],
    ["Seen by", event.audience.includes("*") ? "everyone" : audienceText(event).replace(/^to /, "")],
    [
      "Cause",
      event.cause &&
        h(
          "button",
          { class: "link", type: "button", onclick: () => jump(event.cause) },
          `event ${event.cause}`,
        ),
    ],
    ["Cut off", event.truncated && "yes: the model reached max_tokens"],
  ].filter(([, value]) => value);
  const opened = h("div");
  fill(
    root,
    h("div", { class: `event-whole is-${event.kind}` }, body(event)),
    h(
      "dl",
      { class: "pairs" },
      facts.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
    ),
    h("div", { class: "buttons" }, actions),
    h("details", null, h("summary", null, "Payload"), h("pre", { tabindex: "0" }, pretty(event.payload))),
    h("h2", null, calls.length ? `Behind it: ${plural(calls.length, "call")}` : "Behind it: no call"),
    calls.length === 0 &&
      h(
        "p",
        { class: "hint" },
        "No model, tool or person was asked in this turn: it follows from rules, or came from outside.",
      ),
    calls.length > 0 && callList(calls, (call) => showCall(opened, id, call.number, signal)),
    opened,
  );
  const best = mainCall(calls);
  if (best) await showCall(opened, id, best.number, signal);
}

/** The call whose answer most likely became the event: the last completion, else the last call. */
function mainCall(calls) {
  return calls.findLast((call) => call.kind === "complete") ?? calls.at(-1);
}

export function callName(call) {
  if (call.tool) return `tool ${call.tool.name}`;
  if (call.kind === "ask") return "question to a person";
  return [call.kind === "complete" ? "" : call.kind, call.target || call.provider, call.model]
    .filter(Boolean)
    .join(" · ");
}

function callList(calls, open) {
  if (calls.length === 1) return null;
  const list = h("ul", { class: "calls", role: "list" });
  for (const call of calls) {
    list.append(
      h(
        "li",
        null,
        h(
          "button",
          {
            type: "button",
            class: "call",
            onclick: () => {
              for (const node of list.querySelectorAll("button")) node.removeAttribute("aria-current");
              list.querySelector(`[data-number="${call.number}"]`).setAttribute("aria-current", "true");
              open(call);
            },
            "data-number": call.number,
          },
          h("span", null, `${call.number}. ${callName(call)}`),
          h("span", { class: "dim" }, call.path),
          call.status !== "answered" && badge(call.status),
          call.truncated && h("span", { class: "trouble" }, "cut off"),
        ),
      ),
    );
  }
  list.querySelector(`[data-number="${mainCall(calls).number}"]`)?.setAttribute("aria-current", "true");
  return list;
}

const showing = new WeakMap();

/** Show a call whole: the exact prompt, and the answer as it came. */
export async function showCall(root, id, number, signal) {
  showing.set(root, number);
  fill(root, h("p", { class: "loading" }, "Reading the call…"));
  let call;
  try {
    call = await get(runPath(id, "calls", number), {}, signal);
  } catch (error) {
    if (!signal.aborted) fill(root, failure(error));
    return;
  }
  if (signal.aborted || showing.get(root) !== number) return;
  fill(
    root,
    h(
      "section",
      { class: "call-whole", "aria-label": `Call ${call.number}` },
      h("h3", null, `Call ${call.number}: ${callName(call)}`),
      callFacts(call),
      call.error && h("div", { class: "notice bad" }, h("p", null, call.error)),
      call.tool ? toolParts(call) : promptParts(call),
      extras(call),
    ),
  );
}

function callFacts(call) {
  const usage = call.usage;
  const facts = [
    ["Status", call.status],
    ["Reused", call.reused && `the answer of run ${call.reused}: it cost nothing`],
    ["Latency", call.latency !== null && seconds(call.latency)],
    ["Tokens", usage && `${usage.estimated ? "~" : ""}${count(usage.input)} in, ${count(usage.output)} out`],
    ["Cached", usage?.cached ? `${count(usage.cached)} (${share(usage.cached / usage.input)})` : null],
    ["Cost", call.dollars !== null && call.dollars !== undefined ? money(call.dollars) : null],
    ["Position", call.path],
    ["Cut off", call.truncated && "yes, at max_tokens"],
  ].filter(([, value]) => value);
  return h(
    "dl",
    { class: "pairs tight" },
    facts.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}

function toolParts(call) {
  const { tool } = call;
  return [
    block("Arguments", pretty(tool.arguments)),
    tool.error
      ? block("Error", tool.error)
      : block("Result", typeof tool.result === "string" ? tool.result : pretty(tool.result)),
  ];
}

function promptParts(call) {
  const asked = call.messages ?? [];
  const came = asCame(call);
  const used = call.text && call.text !== came ? call.text : null;
  const thoughts = [call.thinking ?? []]
    .flat()
    .map((one) => one.text ?? inline(one))
    .filter(Boolean);
  return [
    asked.length > 0 && h("h4", null, "Prompt, exactly as sent"),
    asked.map((message) =>
      h(
        "div",
        { class: `message is-${message.role}` },
        h("div", { class: "role" }, message.role),
        (message.parts ?? []).map(part),
      ),
    ),
    h("h4", null, "Answer, as it came"),
    h(
      "pre",
      { class: "raw", tabindex: "0", "data-raw": true },
      came || (call.status === "answered" ? "(empty)" : "(none)"),
    ),
    used && [h("h4", null, "What was taken from it"), h("pre", { tabindex: "0" }, used)],
    call.raw?.draws?.map((one) => block(`Drawn by PyScrAI: ${one.field || "the answer"}`, drawn(one))),
    thoughts.length > 0 && fold("Thoughts of the model", thoughts.join("\n\n")),
    call.tool_calls?.length > 0 && block("Tools that it calls", pretty(call.tool_calls)),
    call.raw && typeof call.raw === "object" && fold("The answer as journaled", pretty(call.raw)),
  ];
}

/** What was drawn of a closed choice, and how probable each option was, the most probable ones first. */
function drawn({ value, probabilities, drawn_from: from, off, missing }) {
  const share = (one) => `${(100 * one).toFixed(1)} %`;
  const options = Object.entries(from ?? probabilities).sort(([, one], [, other]) => other - one);
  return [
    value,
    "",
    ...options.map(([label, one]) => `${share(one).padStart(7)}  ${label}`),
    `${share(off).padStart(7)}  (of all answers: none of these)`,
    `${share(missing).padStart(7)}  (of all answers: not told by the provider)`,
  ].join("\n");
}

/** The answer before the kernel took anything out of it. */
function asCame({ raw, answer, text }) {
  if (raw !== null && typeof raw === "object")
    return raw.raw || raw.text || (typeof raw.answer === "string" ? raw.answer : "");
  return raw || (typeof answer === "string" ? answer : text) || "";
}

function part(one) {
  const text = one.text ?? one.content;
  if (one.type === "tool_call")
    return h("pre", { tabindex: "0" }, `calls ${one.name}(${inline(one.arguments)})`);
  if (one.type === "tool_result")
    return h(
      "pre",
      { tabindex: "0" },
      `${one.failed ? "failed: " : ""}${typeof text === "string" ? text : pretty(text)}`,
    );
  if (one.type === "thinking") return h("pre", { class: "dim", tabindex: "0" }, `(thought) ${text ?? ""}`);
  return h("pre", { tabindex: "0" }, typeof text === "string" ? text : pretty(one));
}

function block(name, text) {
  return [h("h4", null, name), h("pre", { tabindex: "0" }, text)];
}

function extras(call) {
  const attempts = Array.isArray(call.attempts) ? call.attempts : [];
  return [
    attempts.length > 0 &&
      fold(`Attempts before (${attempts.length})`, attempts.map((one) => inline(one)).join("\n")),
    call.schema && fold("Schema of the answer", pretty(call.schema)),
    call.tools?.length > 0 && fold(`Tools offered (${call.tools.length})`, pretty(call.tools)),
    call.sampling && fold("Sampling", inline(call.sampling)),
  ];
}

function fold(name, text) {
  return h("details", null, h("summary", null, name), h("pre", { tabindex: "0" }, text));
}
