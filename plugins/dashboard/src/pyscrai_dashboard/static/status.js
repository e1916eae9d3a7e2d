// The state of a run: badges, progress, and what went wrong.

import { h } from "./dom.js";
import { count, share } from "./format.js";

export const STATUSES = ["running", "paused", "completed", "failed", "stopped", "interrupted"];

export function badge(status) {
  return h("span", { class: `badge is-${status}` }, status);
}

/** A bar, with its share as text. Null: how far it is cannot be known. */
export function progress(value, label) {
  if (value === null || value === undefined) return null;
  const bar = h(
    "span",
    {
      class: "bar",
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(value * 100),
    },
    h("span"),
  );
  bar.firstChild.style.setProperty("inline-size", `${Math.min(100, value * 100)}%`);
  return h("span", { class: "progress" }, bar, h("span", { class: "num" }, share(value)));
}

const TROUBLES = [
  ["truncated", "cut off", "answers that were cut off"],
  ["refused", "refused", "answers that were refused or withheld"],
  ["rejected", "rejected", "attempts that were rejected"],
  ["failed_turns", "failed turns", "turns that failed"],
  ["failed_calls", "failed calls", "calls that failed"],
];

/** What went wrong in a run: counts with words; nothing if nothing did. */
export function troubles(run) {
  return TROUBLES.filter(([key]) => run[key]).map(([key, text, title]) =>
    h("span", { class: "trouble", title: `${count(run[key])} ${title}` }, `${count(run[key])} ${text}`),
  );
}

export function labels(run) {
  return Object.entries(run.labels ?? {}).map(([name, value]) =>
    h("span", { class: "label" }, h("span", { class: "dim" }, `${name}=`), value),
  );
}

/** The questions that a run asks people, as a list. */
export function questions(run) {
  return run.waiting ? [run.waiting].flat() : [];
}

export function isOver(run) {
  return run.status === "completed" || run.status === "failed" || run.status === "stopped";
}
