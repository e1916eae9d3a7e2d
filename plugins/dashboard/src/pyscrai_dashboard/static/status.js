// The state of a run: badges, progress, and what went wrong.

import { h } from "./dom.js";
import { count, plural, share } from "./format.js";

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
  ["truncated", (n) => `${count(n)} cut off`, "answers that were cut off"],
  ["refused", (n) => `${count(n)} refused`, "answers that were refused or withheld"],
  ["rejected", (n) => `${count(n)} rejected`, "attempts that were rejected"],
  ["failed_turns", (n) => plural(n, "failed turn"), "turns that failed"],
  ["failed_calls", (n) => plural(n, "failed call"), "calls that failed"],
];

/** What went wrong in a run: counts with words, with spaces between; nothing if nothing did. */
export function troubles(run) {
  return TROUBLES.filter(([key]) => run[key]).flatMap(([key, text, title]) => [
    h("span", { class: "trouble", title: `${count(run[key])} ${title}` }, text(run[key])),
    " ",
  ]);
}

export function labels(run) {
  return Object.entries(run.labels ?? {}).map(([name, value]) =>
    h(
      "span",
      { class: "label" },
      h("span", { class: "dim" }, h("bdi", null, name), "="),
      h("bdi", null, value),
    ),
  );
}

/** The questions that a run asks people, as a list. */
export function questions(run) {
  return run.waiting ? [run.waiting].flat() : [];
}

export function isOver(run) {
  return run.status === "completed" || run.status === "failed" || run.status === "stopped";
}
