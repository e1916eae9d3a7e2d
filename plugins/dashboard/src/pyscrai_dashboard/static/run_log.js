// The log of a run as the page knows it: an index of all events, and the texts of those that were read.

import { get, runPath } from "./api.js";

const PAGE = 100;
const MAX_TEXTS = 5000;

export class RunLog {
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.rows = []; // [seq, step, kind, source], in the log's order
    this.at = new Map(); // seq -> place in rows
    this.events = new Map();
    this.wanted = new Set();
    this.listeners = new Set();
  }

  async load() {
    let next = 0;
    do {
      const part = await get(runPath(this.id, "index"), { after: next }, this.signal);
      for (const [seq, step, kind, source] of part.rows) {
        this.rows.push([seq, step, part.kinds[kind], part.sources[source]]);
      }
      next = part.next;
    } while (next);
    this.at = new Map(this.rows.map(([seq], at) => [seq, at]));
    return this;
  }

  get last() {
    return this.rows.length ? this.rows[this.rows.length - 1][0] : 0;
  }

  get lastStep() {
    return this.rows.length ? this.rows[this.rows.length - 1][1] : 0;
  }

  /** All kinds and sources, each with how many events it has, the most first. */
  counts(column) {
    const found = new Map();
    for (const row of this.rows) found.set(row[column], (found.get(row[column]) ?? 0) + 1);
    return [...found].sort((a, b) => b[1] - a[1]);
  }

  /** Add events that are new; how many were. */
  append(events) {
    let added = 0;
    for (const event of events) {
      this.events.set(event.seq, event);
      if (this.at.has(event.seq)) continue;
      this.at.set(event.seq, this.rows.length);
      this.rows.push([event.seq, event.step, event.kind, event.source]);
      added += 1;
    }
    return added;
  }

  /** Call `changed(seqs)` when texts arrive. */
  listen(changed) {
    this.listeners.add(changed);
  }

  /** Ask for the texts of these events, unless they are here or on their way. */
  async need(seqs) {
    const missing = seqs.filter((seq) => !this.events.has(seq) && !this.wanted.has(seq));
    if (!missing.length) return;
    for (const seq of missing) this.wanted.add(seq);
    try {
      for (let at = 0; at < missing.length; at += PAGE) await this.fetch(missing.slice(at, at + PAGE));
    } finally {
      for (const seq of missing) this.wanted.delete(seq);
    }
  }

  async fetch(seqs) {
    const dense = seqs[seqs.length - 1] - seqs[0] === seqs.length - 1;
    const query = dense ? { from: seqs[0], to: seqs[seqs.length - 1] } : { seqs: seqs.join(",") };
    const { events } = await get(runPath(this.id, "events"), query, this.signal);
    if (this.events.size > MAX_TEXTS) this.forget();
    for (const event of events) this.events.set(event.seq, event);
    for (const changed of this.listeners) changed(events.map((event) => event.seq));
  }

  forget() {
    const drop = [...this.events.keys()].slice(0, this.events.size / 2);
    for (const seq of drop) this.events.delete(seq);
  }

  /** The places of the rows that pass: `{agent, kinds, step, seqs}`, each only if it is set. */
  filter({ agent, hidden, step, seqs }) {
    const found = [];
    for (let at = 0; at < this.rows.length; at += 1)
      if (this.passes(at, { agent, hidden, step, seqs })) found.push(at);
    return found;
  }

  passes(at, { agent, hidden, step, seqs }) {
    const [seq, when, kind, source] = this.rows[at];
    return (
      (!agent || source === agent) &&
      !hidden.has(kind) &&
      (step === null || when === step) &&
      (seqs === null || seqs.has(seq))
    );
  }

  /** The place of the first row of a step, or of the next step that has one. */
  firstOf(step) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle][1] < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
