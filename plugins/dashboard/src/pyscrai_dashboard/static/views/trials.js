// The trials of an experiment, each with its run.

import { fill, h, select, field } from "../dom.js";
import { brief, count, inline, number, plural } from "../format.js";
import { badge } from "../status.js";

const PAGE = 50;

export class Trials {
  constructor() {
    this.arm = "";
    this.page = 0;
    this.body = h("div");
    this.choice = h("div");
    this.total = h("span", { class: "dim", role: "status" });
    this.element = h(
      "section",
      { "aria-labelledby": "trials" },
      h("div", { class: "section-head" }, h("h2", { id: "trials" }, "Trials"), this.total, this.choice),
      this.body,
    );
  }

  show(runs, all, outcomes) {
    Object.assign(this, { runs, all, outcomes });
    const arms = [...new Set(runs.map((run) => run.arm))];
    if (arms.join("\n") !== this.arms) {
      this.arms = arms.join("\n");
      fill(
        this.choice,
        arms.length > 1 &&
          field(
            "Arm",
            select([["", "all"], ...arms], this.arm, (value) => {
              this.arm = value;
              this.page = 0;
              this.draw();
            }),
          ),
      );
    }
    this.draw();
  }

  draw() {
    const some = this.runs.filter((run) => !this.arm || run.arm === this.arm);
    const pages = Math.max(1, Math.ceil(some.length / PAGE));
    this.page = Math.min(this.page, pages - 1);
    const shown = some.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.total.textContent =
      this.all > this.runs.length
        ? `${count(this.runs.length)} of ${plural(this.all, "trial")}`
        : plural(some.length, "trial");
    const move = (by) => () => {
      this.page += by;
      this.draw();
    };
    fill(
      this.body,
      h(
        "div",
        { class: "scroll-x", tabindex: "0", role: "group", "aria-label": "Trials" },
        h(
          "table",
          { class: "data trials" },
          h("caption", { class: "unseen" }, "Trials"),
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              h("th", { scope: "col" }, "Run"),
              h("th", { scope: "col" }, "Arm"),
              h("th", { scope: "col", class: "num" }, "Replicate"),
              h("th", { scope: "col" }, "Status"),
              this.outcomes.map((name) => h("th", { scope: "col", class: "num" }, name)),
            ),
          ),
          h(
            "tbody",
            null,
            shown.map((run) => this.row(run)),
          ),
        ),
      ),
      pages > 1 &&
        h(
          "div",
          { class: "buttons pager" },
          h("button", { type: "button", disabled: this.page === 0, onclick: move(-1) }, "Previous"),
          h("span", { class: "num" }, `${this.page + 1} of ${pages}`),
          h("button", { type: "button", disabled: this.page === pages - 1, onclick: move(1) }, "Next"),
        ),
    );
  }

  row(run) {
    const cell = (value) =>
      value === undefined || value === null ? "–" : typeof value === "number" ? number(value) : inline(value);
    return h(
      "tr",
      null,
      h(
        "th",
        { scope: "row" },
        run.run ? h("a", { href: `/runs/${encodeURIComponent(run.run)}` }, brief(run.run)) : "–",
      ),
      h("td", null, run.arm),
      h("td", { class: "num" }, run.replicate),
      h("td", null, badge(run.status)),
      this.outcomes.map((name) => h("td", { class: "num" }, cell(run.outcomes?.[name]))),
    );
  }
}
