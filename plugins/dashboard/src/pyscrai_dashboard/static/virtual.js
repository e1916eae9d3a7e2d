// A list that has only the rows in the page that can be seen, with rows of different heights.
//
// Each row has an estimated height until it is measured. Sums of heights are kept in a Fenwick tree (Fenwick 1994,
// "A new data structure for cumulative frequency tables"), so that a position is found in logarithmic time.

import { h } from "./dom.js";

class Heights {
  constructor(size, estimate) {
    this.estimate = estimate;
    this.reset(size);
  }

  reset(size) {
    this.size = size;
    this.values = new Float64Array(Math.max(16, size * 2)).fill(0);
    this.values.fill(this.estimate, 0, size);
    this.build();
  }

  build() {
    const length = this.values.length;
    this.tree = new Float64Array(length + 1);
    for (let at = 1; at <= length; at += 1) {
      this.tree[at] += this.values[at - 1];
      const up = at + (at & -at);
      if (up <= length) this.tree[up] += this.tree[at];
    }
  }

  grow(size) {
    if (size > this.values.length) {
      const wider = new Float64Array(size * 2);
      wider.set(this.values);
      this.values = wider;
      this.values.fill(this.estimate, this.size, size);
      this.size = size;
      this.build();
      return;
    }
    while (this.size < size) {
      this.size += 1;
      this.set(this.size - 1, this.estimate);
    }
  }

  set(at, height) {
    const change = height - this.values[at];
    if (!change) return;
    this.values[at] = height;
    for (let node = at + 1; node < this.tree.length; node += node & -node) this.tree[node] += change;
  }

  /** The sum of the heights before row `at`. */
  before(at) {
    let sum = 0;
    for (let node = at; node > 0; node -= node & -node) sum += this.tree[node];
    return sum;
  }

  /** The row at this distance from the top. */
  at(offset) {
    let node = 0;
    let left = offset;
    for (let bit = 1 << Math.floor(Math.log2(this.tree.length)); bit > 0; bit >>= 1) {
      if (node + bit < this.tree.length && this.tree[node + bit] <= left) {
        node += bit;
        left -= this.tree[node];
      }
    }
    return Math.max(0, Math.min(node, this.size - 1));
  }
}

const OVERSCAN = 8;

export class VirtualList {
  /**
   * `row(index)` makes the element of a row; `need(from, to)` is told which rows are shown. `props` are those of
   * the scrolled element.
   */
  constructor({ row, need = () => {}, estimate = 44, props = {}, onScroll = () => {} }) {
    this.makeRow = row;
    this.need = need;
    this.onScroll = onScroll;
    this.heights = new Heights(0, estimate);
    this.shown = new Map();
    this.space = h("div", { class: "virtual-space", role: "presentation" });
    this.element = h("div", { ...props, class: `virtual ${props.class ?? ""}` }, this.space);
    this.element.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.resizes = new ResizeObserver(() => {
      const width = this.element.clientWidth;
      if (width !== this.width) {
        this.width = width;
        this.redraw();
      } else this.schedule();
    });
    this.resizes.observe(this.element);
    this.frame = 0;
    this.focused = null; // the row that had the focus before all rows were made again
  }

  get size() {
    return this.heights.size;
  }

  /** Begin anew with `size` rows. */
  reset(size) {
    this.heights.reset(size);
    this.redraw();
    this.focused = null; // other rows
  }

  /** More rows at the end. */
  grow(size) {
    this.heights.grow(size);
    this.schedule();
  }

  /** Make all shown rows again. */
  redraw() {
    for (const [index, node] of this.shown) {
      if (node.contains(document.activeElement)) this.focused = index;
      node.remove();
    }
    this.shown.clear();
    this.schedule();
  }

  /** Make some rows again, if they are shown. */
  refresh(indices) {
    for (const index of indices) {
      const old = this.shown.get(index);
      if (!old) continue;
      const held = old.contains(document.activeElement);
      const node = this.place(index);
      old.replaceWith(node);
      if (held) node.focus({ preventScroll: true });
    }
    this.schedule();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  place(index) {
    const node = this.makeRow(index);
    node.style.setProperty("transform", `translateY(${this.heights.before(index)}px)`);
    this.shown.set(index, node);
    return node;
  }

  draw() {
    const { element, heights } = this;
    const top = element.scrollTop;
    const anchor = heights.at(top);
    const inside = top - heights.before(anchor);
    const first = Math.max(0, anchor - OVERSCAN);
    const last = Math.min(heights.size - 1, heights.at(top + element.clientHeight) + OVERSCAN);
    for (const [index, node] of this.shown) {
      if (index >= first && index <= last) continue;
      if (node.contains(document.activeElement)) this.element.focus({ preventScroll: true });
      node.remove();
      this.shown.delete(index);
    }
    const added = [];
    for (let index = first; index <= last; index += 1) {
      if (!this.shown.has(index)) added.push(this.place(index));
    }
    this.space.append(...added);
    if (this.focused !== null) this.shown.get(this.focused)?.focus({ preventScroll: true });
    this.focused = null;
    let moved = false;
    for (const [index, node] of this.shown) {
      const height = node.offsetHeight;
      if (height && height !== heights.values[index]) {
        heights.set(index, height);
        moved = true;
      }
    }
    const total = heights.before(heights.size);
    if (total !== this.total) {
      this.total = total;
      this.space.style.setProperty("block-size", `${total}px`);
    }
    if (moved) {
      for (const [index, node] of this.shown) {
        node.style.setProperty("transform", `translateY(${heights.before(index)}px)`);
      }
      const wanted = heights.before(anchor) + inside; // what is read stays where it is
      if (!this.pinned && Math.abs(wanted - element.scrollTop) > 1 && top > 0) element.scrollTop = wanted;
      this.schedule();
    }
    if (this.pinned) this.toEnd();
    if (last >= first) this.need(first, last);
    this.onScroll(anchor, this.atEnd());
  }

  atEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    return scrollTop + clientHeight >= scrollHeight - 24;
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Bring a row into view: at the top with `start`, else as near as it is. */
  show(index, { start = false } = {}) {
    const { element, heights } = this;
    const top = heights.before(index);
    const bottom = top + heights.values[index];
    if (start || top < element.scrollTop) element.scrollTop = Math.max(0, top - (start ? 0 : 4));
    else if (bottom > element.scrollTop + element.clientHeight)
      element.scrollTop = bottom - element.clientHeight + 4;
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.draw();
    return this.shown.get(index);
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.resizes.disconnect();
  }
}
