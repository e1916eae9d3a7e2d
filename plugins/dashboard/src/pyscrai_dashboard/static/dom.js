// Building the page. All text becomes text nodes: what models, tools and scenarios wrote is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
// Control characters (such as terminal escapes), and those that change the direction of the text around them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text in which control characters are visible, such as ⟨ESC⟩. */
export function visible(text) {
  return String(text).replace(HIDDEN, (char) => {
    const code = char.charCodeAt(0);
    return `⟨${CONTROLS[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}⟩`;
  });
}
const CONTROLS = (
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI " +
  "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split(" ");

// Characters of a text that are shown at once: with millions of them, a browser stands still.
const SHOWN = 50_000;

/** A text from a character on; of a long one the beginning, and a button for more of it. */
function textNodes(text, from = 0) {
  let end = Math.min(text.length, from + SHOWN);
  if (text.charCodeAt(end - 1) >> 10 === 0x36 && end < text.length) end -= 1; // do not halve a character
  const shown = document.createTextNode(visible(text.slice(from, end)));
  if (end === text.length) return [shown];
  const said = `… show more (${end.toLocaleString("en")} of ${text.length.toLocaleString("en")} characters)`;
  const more = () => button.replaceWith(...textNodes(text, end));
  const button = h("button", { class: "link", type: "button", onclick: more }, said);
  return [shown, button];
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(...(child instanceof Node ? [child] : textNodes(String(child))));
  }
  return node;
}

/**
 * An element: `h("a", {class: "link", href: "/", onclick: go}, "text", otherNode)`.
 * Names that begin with `on` are listeners, `value`, `checked` and other properties of state are set as such,
 * everything else is an attribute. Null, undefined and false: the attribute is left out.
 */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "hidden", "open", "selected"].includes(name))
      node[name] = value;
    else node.setAttribute(name, value === true ? "" : visible(value));
  }
  return append(node, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, visible(value));
  }
  return append(node, children);
}

/** Replace everything in `node`. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

let announcer;

/** Tell users of screen readers, without interrupting them. */
export function announce(text) {
  announcer ??= document.getElementById("announce");
  if (announcer.textContent !== text) announcer.textContent = visible(text);
}

/** The width in which something is drawn, in pixels: that of the page, at most `most`. */
export function drawingWidth(most) {
  return Math.max(280, Math.min(most, document.getElementById("main").clientWidth - 60));
}

let made = 0;

/** An id that is unique on the page. */
export function unique(prefix) {
  made += 1;
  return `${prefix}-${made}`;
}

/** A labelled field: `field("Seed", h("input", …), "a hint")`. */
export function field(label, input, hint = "", ...more) {
  input.id ||= unique("field");
  const described = hint ? unique("hint") : null;
  if (described) input.setAttribute("aria-describedby", described);
  return h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    more,
    hint && h("p", { class: "hint", id: described }, hint),
  );
}

/** A select: options are texts or `[value, text]`. */
export function select(options, value, onchange, props = {}) {
  const made = options.map((option) => {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: key, selected: key === value }, text);
  });
  return h("select", { ...props, onchange: (event) => onchange?.(event.target.value) }, made);
}

/** A table: `columns` are texts or `{text, class}`, rows lists of cells. Wide tables scroll by themselves. */
export function table(caption, columns, rows, props = {}) {
  const heads = columns.map((column) =>
    h("th", { scope: "col", class: column.class }, column.text ?? column),
  );
  const body = rows.map((cells) =>
    h(
      "tr",
      null,
      cells.map((cell, at) =>
        at === 0
          ? h("th", { scope: "row", class: columns[at]?.class }, cell)
          : h("td", { class: columns[at]?.class }, cell),
      ),
    ),
  );
  return h(
    "div",
    { class: "scroll-x", tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      { class: "data", ...props },
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, heads)),
      h("tbody", null, body),
    ),
  );
}

/** Run `work` at most once in `wait` milliseconds, the last time included. */
export function throttle(work, wait) {
  let timer = null;
  let again = false;
  return function limited() {
    if (timer !== null) {
      again = true;
      return;
    }
    work();
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        limited();
      }
    }, wait);
  };
}

/**
 * Run the async `work` one at a time, the last time included: with `wait` milliseconds in between, and more if it
 * takes long.
 */
export function serial(work, wait) {
  let busy = false;
  let again = false;
  return async function limited() {
    again = busy;
    if (busy) return;
    busy = true;
    const began = performance.now();
    try {
      await work();
    } finally {
      setTimeout(
        () => {
          busy = false;
          if (again) limited();
        },
        Math.max(wait, 2 * (performance.now() - began)),
      );
    }
  };
}

/** Run `work` when no further call came for `wait` milliseconds. */
export function debounce(work, wait) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}

/** Whether somebody is writing, so that letters are no shortcuts. */
export function writing(target) {
  return target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, dialog") != null;
}
