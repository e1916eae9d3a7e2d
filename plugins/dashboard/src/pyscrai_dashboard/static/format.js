// Numbers, times and states as text.

const DASH = "\u2013";
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value) {
  return value === null || value === undefined ? DASH : plain.format(value);
}

/** 12,345 as 12.3K. */
export function short(value) {
  if (value === null || value === undefined) return DASH;
  return value < 10000 ? plain.format(value) : compact.format(value);
}

/** A number with four significant digits; other values as JSON. */
export function number(value) {
  if (value === null || value === undefined) return DASH;
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  if (Number.isInteger(value)) return Math.abs(value) < 1e6 ? plain.format(value) : compact.format(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export function money(cost) {
  if (cost === null || cost === undefined) return DASH;
  const { dollars, unpriced = 0 } = typeof cost === "number" ? { dollars: cost } : cost;
  if (!dollars && unpriced) return "unknown";
  const digits = dollars && dollars < 0.01 ? 5 : dollars < 1 ? 3 : 2;
  return `$${(dollars ?? 0).toFixed(dollars ? digits : 2)}${unpriced ? " +?" : ""}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 0.001) return "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** When: the time of today, else the date with it. `when` is in seconds since 1970. */
export function time(when) {
  if (!when) return DASH;
  const date = new Date(when * 1000);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return clock;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock}`;
}

export function share(value) {
  return value === null || value === undefined ? DASH : `${Math.round(value * 100)} %`;
}

/** One or many: `plural(2, "event")`. */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** JSON for a line: short, with spaces. */
export function inline(value) {
  if (typeof value === "string") return value;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "";
  if (Array.isArray(value)) return `[${value.map(quoted).join(", ")}]`;
  return `{${Object.entries(value)
    .map(([key, one]) => `${key}: ${quoted(one)}`)
    .join(", ")}}`;
}

function quoted(value) {
  return typeof value === "string" ? JSON.stringify(value) : inline(value);
}

export function pretty(value) {
  return JSON.stringify(value, null, 2);
}

/** The first eight characters of a run's id. */
export function brief(id) {
  return String(id).slice(0, 8);
}

/** Lines `name = value` as an object of texts; raises `Error` with the line. */
export function parseLines(text) {
  const values = {};
  for (const line of text
    .split("\n")
    .map((one) => one.trim())
    .filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`"${line}": expected NAME=VALUE`);
    values[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return values;
}
