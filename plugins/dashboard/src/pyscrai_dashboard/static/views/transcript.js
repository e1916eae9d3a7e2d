// What happens in a run, event by event, with filters.

import { get, runPath } from "../api.js";
import { announce, debounce, field, fill, h, select, writing } from "../dom.js";
import { audienceText, body, family, sourceName, spoken, who } from "../event.js";
import { count, plural } from "../format.js";
import { setQuery } from "../router.js";
import { keep, kept } from "../theme.js";
import { VirtualList } from "../virtual.js";

export class Transcript {
  /** `context` is the view of the run: `{id, log, agents, signal, inspect, goToStep}`. */
  constructor(context, query) {
    this.context = context;
    this.log = context.log;
    this.filters = {
      agent: query.get("agent") ?? "",
      step: null,
      seqs: null,
      hidden: new Set((query.get("hide") ?? "").split(",").filter(Boolean)),
    };
    this.search = query.get("q") ?? "";
    this.places = [];
    this.chosen = 0; // seq
    this.unfolded = new Set();
    this.unfoldAll = kept("thoughts", "") === "open";
    this.list = new VirtualList({
      row: (index) => this.row(index),
      need: (from, to) => this.need(from, to),
      onScroll: (anchor, end) => this.scrolled(anchor, end),
      props: { class: "transcript", role: "feed", "aria-label": "Events", tabindex: "0" },
    });
    this.list.element.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener(
      "keydown",
      (event) => {
        if (event.target === document.body || event.target.id === "main") this.key(event);
      },
      { signal: context.signal },
    );
    this.log.listen((seqs) => this.arrived(seqs));
    context.signal.addEventListener("abort", () => this.list.close());
    this.note = h("p", { class: "empty", hidden: true });
    this.total = h("span", { class: "dim total", role: "status" });
    this.newer = h("button", { class: "newer", type: "button", hidden: true, onclick: () => this.follow() });
    this.element = h(
      "div",
      { class: "transcript-box" },
      this.bar(),
      this.note,
      h("div", { class: "transcript-frame" }, this.list.element, this.newer),
    );
    this.unread = 0;
    this.following = context.live();
    if (this.search) this.find(this.search);
    else this.refilter();
  }

  bar() {
    const later = debounce((text) => this.find(text), 250);
    const thoughts = h("input", {
      type: "checkbox",
      checked: this.unfoldAll,
      onchange: (event) => {
        this.unfoldAll = event.target.checked;
        keep("thoughts", this.unfoldAll ? "open" : "");
        this.unfolded.clear();
        this.list.redraw();
      },
    });
    this.agents = h("div", { class: "slot" });
    this.kinds = h("div", { class: "kinds-list" });
    const only = h("input", {
      type: "checkbox",
      onchange: (event) => {
        this.filters.step = event.target.checked ? this.context.step() : null;
        this.refilter();
      },
    });
    this.only = only;
    this.fillChoices();
    return h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      field(
        "Search",
        h("input", {
          type: "search",
          "data-search": true,
          value: this.search,
          placeholder: "words in events",
          oninput: (event) => later(event.target.value.trim()),
          onkeydown: (event) => event.key === "Escape" && this.list.element.focus(),
        }),
      ),
      this.agents,
      menu("Kinds", this.kinds, this.context.signal),
      h("label", { class: "check" }, only, "Only this step"),
      h("label", { class: "check" }, thoughts, "Unfold thoughts"),
      this.total,
    );
  }

  /** Room for the numbers of the steps and events. */
  fitNumbers() {
    const digits = String(this.log.last).length + String(this.log.lastStep).length;
    this.list.element.style.setProperty("--place", `${3.4 + 0.5 * digits}rem`);
  }

  fillChoices() {
    const sources = this.log.counts(3).map(([name, n]) => [name, `${sourceName(name)} (${count(n)})`]);
    if (this.filters.agent && !sources.some(([name]) => name === this.filters.agent)) {
      sources.push([this.filters.agent, sourceName(this.filters.agent)]);
    }
    const key = JSON.stringify([sources.length, this.log.counts(2).length]);
    if (key === this.choices) return;
    this.choices = key;
    fill(
      this.agents,
      field(
        "From",
        select([["", "everyone"], ...sources], this.filters.agent, (name) => this.onlyFrom(name)),
      ),
    );
    fill(
      this.kinds,
      this.log.counts(2).map(([kind, n]) =>
        h(
          "label",
          { class: "check" },
          h("input", {
            type: "checkbox",
            checked: !this.filters.hidden.has(kind),
            onchange: (event) => {
              if (event.target.checked) this.filters.hidden.delete(kind);
              else this.filters.hidden.add(kind);
              setQuery({ hide: [...this.filters.hidden].join(",") });
              this.refilter();
            },
          }),
          `${kind} (${count(n)})`,
        ),
      ),
    );
  }

  onlyFrom(name) {
    this.filters.agent = name;
    setQuery({ agent: name });
    this.refilter();
  }

  async find(text) {
    this.search = text;
    setQuery({ q: text });
    if (text) {
      const { seqs } = await get(runPath(this.context.id, "search"), { q: text }, this.context.signal);
      if (this.search !== text) return; // an older answer
      this.filters.seqs = new Set(seqs);
    } else this.filters.seqs = null;
    this.refilter();
  }

  /** Whether a new event has the words that are searched for: the server has not been asked about it. */
  foundIn(at) {
    const event = this.log.events.get(this.log.rows[at][0]);
    if (event && JSON.stringify(event.payload).toLowerCase().includes(this.search.toLowerCase())) {
      this.filters.seqs?.add(event.seq);
    }
  }

  get filtered() {
    const { agent, hidden, step, seqs } = this.filters;
    return agent !== "" || hidden.size > 0 || step !== null || seqs !== null;
  }

  refilter() {
    this.places = this.log.filter(this.filters);
    this.scanned = this.log.rows.length;
    this.list.pinned = false;
    this.list.reset(this.places.length);
    this.list.element.scrollTop = 0;
    this.count();
    const at = this.indexOf(this.chosen);
    if (at >= 0) this.list.show(at, { start: true });
    else if (this.following && !this.filtered) this.follow();
  }

  count() {
    const shown = this.places.length;
    const all = this.log.rows.length;
    this.fitNumbers();
    this.total.textContent =
      shown === all ? plural(all, "event") : `${count(shown)} of ${plural(all, "event")}`;
    this.note.hidden = shown > 0;
    this.list.element.hidden = shown === 0;
    this.note.textContent = all ? "No event matches these filters." : "Nothing has happened yet.";
  }

  /** New events are in the log. */
  grew() {
    const before = this.places.length;
    for (let at = this.scanned; at < this.log.rows.length; at += 1) {
      if (this.search) this.foundIn(at);
      if (this.log.passes(at, this.filters)) this.places.push(at);
    }
    this.scanned = this.log.rows.length;
    if (this.places.length === before) return this.count();
    this.list.pinned = this.following;
    this.list.grow(this.places.length);
    this.count();
    this.fillChoices();
    if (!this.following) {
      this.unread += this.places.length - before;
      this.newer.textContent = `${plural(this.unread, "new event")} ↓`;
      this.newer.hidden = false;
    }
  }

  follow() {
    this.following = true;
    this.unread = 0;
    this.newer.hidden = true;
    this.list.pinned = true;
    this.list.toEnd();
    this.list.schedule();
  }

  scrolled(anchor, end) {
    if (this.list.pinned && !end) return;
    this.following = end && this.context.live();
    this.list.pinned = this.following;
    if (end) {
      this.unread = 0;
      this.newer.hidden = true;
    }
  }

  need(from, to) {
    const seqs = [];
    const margin = 40;
    for (
      let index = Math.max(0, from - margin);
      index <= Math.min(this.places.length - 1, to + margin);
      index += 1
    ) {
      seqs.push(this.log.rows[this.places[index]][0]);
    }
    this.log.need(seqs).catch((error) => {
      if (!this.context.signal.aborted) announce(error.message);
    });
  }

  arrived(seqs) {
    const some = new Set(seqs);
    const shown = [...this.list.shown.keys()].filter((index) =>
      some.has(this.log.rows[this.places[index]]?.[0]),
    );
    this.list.refresh(shown);
  }

  indexOf(seq) {
    const at = this.log.at.get(seq);
    if (at === undefined) return -1;
    let low = 0;
    let high = this.places.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.places[middle] === at) return middle;
      if (this.places[middle] < at) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  row(index) {
    const at = this.places[index];
    const [seq, step, kind, source] = this.log.rows[at];
    const event = this.log.events.get(seq);
    const first = index === 0 || this.log.rows[this.places[index - 1]][1] !== step;
    const node = h(
      "article",
      {
        class: `event is-${family(kind)}${first ? " first" : ""}${seq === this.chosen ? " chosen" : ""}`,
        role: "article",
        tabindex: seq === this.chosen ? "0" : "-1",
        "data-seq": seq,
        "aria-posinset": index + 1,
        "aria-setsize": this.places.length,
        "aria-label": spoken({ seq, step, kind, source }),
        onclick: (click) => this.clicked(click, seq),
      },
      h(
        "span",
        { class: "event-place num" },
        first ? h("span", { class: "event-step" }, `step ${step}`) : null,
        h("span", { class: "event-seq" }, seq),
      ),
      who(source, this.context.agents),
      h("div", { class: "event-what" }, event ? this.text(event) : h("span", { class: "dim" }, kind)),
    );
    return node;
  }

  text(event) {
    const to = audienceText(event);
    const tag = event.kind === "say" ? null : h("span", { class: "kind" }, event.kind);
    const heard =
      to && !["thought", "change", "rejected", "tool"].includes(event.kind) && h("span", { class: "to" }, to);
    if (event.kind !== "thought") {
      return [tag, heard, h("span", { class: "text" }, body(event))];
    }
    const open = this.unfoldAll !== this.unfolded.has(event.seq);
    return [
      tag,
      h(
        "button",
        {
          class: "fold",
          type: "button",
          "aria-expanded": String(open),
          tabindex: "-1",
          onclick: (click) => {
            click.stopPropagation();
            this.unfold(event.seq);
          },
        },
        open ? "fold" : "unfold",
      ),
      open && h("span", { class: "text" }, body(event)),
    ];
  }

  unfold(seq) {
    if (!this.unfolded.delete(seq)) this.unfolded.add(seq);
    this.list.refresh([this.indexOf(seq)]);
  }

  clicked(click, seq) {
    if (click.target.closest("a, button") || getSelection().toString()) return;
    this.choose(seq, { open: true });
  }

  /** Mark an event, bring it into view, and open it in the panel. */
  choose(seq, { open = false, focus = true, start = false } = {}) {
    const before = this.indexOf(this.chosen);
    this.chosen = seq;
    const index = this.indexOf(seq);
    this.list.pinned = false;
    this.list.refresh([before, index]);
    if (index < 0) return;
    const node = this.list.show(index, { start });
    if (focus) node?.focus({ preventScroll: true });
    this.context.chosen(seq, open);
  }

  /** Show the first event of a step. */
  toStep(step) {
    if (this.only.checked) {
      this.filters.step = step;
      this.refilter();
      return;
    }
    const wanted = this.log.firstOf(step);
    let low = 0;
    let high = this.places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.places[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    this.following = false;
    this.list.pinned = false;
    if (low < this.places.length) this.list.show(low, { start: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || writing(event.target)) return;
    const at = this.indexOf(this.chosen);
    const moves = {
      j: at + 1,
      ArrowDown: at + 1,
      k: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: this.places.length - 1,
      PageDown: at + 10,
      PageUp: at - 10,
    };
    if (event.key in moves && this.places.length) {
      event.preventDefault();
      const next = Math.max(0, Math.min(this.places.length - 1, moves[event.key]));
      this.choose(this.log.rows[this.places[next]][0]);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      this.choose(this.chosen, { open: true });
    } else if (event.key === " " && at >= 0 && this.log.rows[this.places[at]][2] === "thought") {
      event.preventDefault();
      this.unfold(this.chosen);
    }
  }
}

/** Choices that open below a button, and close with Esc or when something else is clicked. */
function menu(name, choices, signal) {
  const button = h("summary", null, name);
  const details = h("details", { class: "menu" }, button, choices);
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    event.stopPropagation();
    details.open = false;
    button.focus();
  });
  document.addEventListener(
    "click",
    (event) => {
      if (!details.contains(event.target)) details.open = false;
    },
    { signal },
  );
  return details;
}
