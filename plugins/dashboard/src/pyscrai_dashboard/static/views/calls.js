// All calls of a run: to models, tools and people.

import { get, runPath } from "../api.js";
import { debounce, field, fill, h, select } from "../dom.js";
import { count, money, seconds } from "../format.js";
import { failure } from "../router.js";
import { badge } from "../status.js";
import { showDialog } from "../dialog.js";
import { callName, showCall } from "./inspector.js";

const STATUS = [["", "any"], "answered", "failed", "open", "intent"];

export async function callsTab(view) {
  const filters = { agent: "", status: "", provider: "" };
  const body = h("tbody");
  const note = h("div");
  const more = h("button", { type: "button", hidden: true, onclick: () => load(false) }, "Show more");
  let next = null;
  let latest = 0;

  async function load(anew) {
    latest += 1;
    const mine = latest;
    if (anew) next = null;
    try {
      const page = await get(
        runPath(view.id, "calls"),
        { ...filters, limit: 100, before: next },
        view.signal,
      );
      if (mine !== latest) return;
      if (anew) body.replaceChildren();
      body.append(...page.calls.map((call) => row(view, call)));
      next = page.next ?? null;
      more.hidden = next === null;
      fill(note, anew && page.calls.length === 0 && h("p", { class: "empty" }, "No calls match."));
    } catch (error) {
      if (!view.signal.aborted) fill(note, failure(error));
    }
  }
  const change = (name) => (value) => {
    filters[name] = value;
    load(true);
  };
  const typed = debounce(change("provider"), 250);
  await load(true);
  view.changed.add(() => {
    if (body.children.length <= 100) return load(true);
    return null;
  });
  return h(
    "section",
    { "aria-label": "Calls" },
    h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      field("Agent", select([["", "all"], ...view.agents], "", change("agent"))),
      field("Status", select(STATUS, "", change("status"))),
      field(
        "Provider",
        h("input", {
          type: "search",
          placeholder: "name",
          oninput: (event) => typed(event.target.value.trim()),
        }),
      ),
    ),
    h(
      "table",
      { class: "data calls-table" },
      h("caption", { class: "unseen" }, "Calls"),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          [
            ["Call"],
            ["Step", "num"],
            ["Status"],
            ["Input", "num wide"],
            ["Output", "num wide"],
            ["Cached", "num wide"],
            ["Latency", "num"],
            ["Cost", "num wide"],
          ].map(([text, kind]) => h("th", { scope: "col", class: kind }, text)),
        ),
      ),
      body,
    ),
    note,
    h("div", { class: "buttons" }, more),
  );
}

function row(view, call) {
  const open = () =>
    showDialog(`Call ${call.number}`, () => {
      const root = h("div", { class: "call-dialog" });
      showCall(root, view.id, call.number, view.signal);
      return root;
    });
  const usage = call.usage ?? {};
  const tokens = (value) => (call.usage ? `${usage.estimated ? "~" : ""}${count(value ?? 0)}` : "–");
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row" },
      h("button", { type: "button", class: "link", onclick: open }, `${call.number}. ${call.agent}`),
      h("div", { class: "sub" }, callName(call)),
    ),
    h("td", { class: "num" }, call.step),
    h(
      "td",
      { class: "whole" },
      call.status === "answered" ? call.status : badge(call.status),
      call.reused && h("div", { class: "sub" }, "reused"),
      call.truncated && [" ", h("span", { class: "trouble" }, "cut off")],
      call.error && h("div", { class: "sub error" }, call.error),
    ),
    h("td", { class: "num wide" }, tokens(usage.input)),
    h("td", { class: "num wide" }, tokens(usage.output)),
    h("td", { class: "num wide" }, tokens(usage.cached)),
    h("td", { class: "num" }, seconds(call.latency)),
    h("td", { class: "num wide" }, money(call.dollars)),
  );
}
