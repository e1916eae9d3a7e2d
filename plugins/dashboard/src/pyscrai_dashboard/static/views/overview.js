// All runs and experiments of the store, live.

import { get } from "../api.js";
import { announce, debounce, field, fill, h, select, serial } from "../dom.js";
import { brief, count, money, plural, seconds, short, time } from "../format.js";
import { follow } from "../live.js";
import { failure, navigate, setQuery, title } from "../router.js";
import { STATUSES, badge, isOver, labels, progress, questions, troubles } from "../status.js";

const PAGE = 50;
const FILTERS = ["status", "scenario", "label", "search"];

export async function overview(root, _parts, query, signal) {
  title("Overview");
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const list = new RunList(filters, signal);
  const experiments = h("div");
  const reload = debounce(() => list.reload(), 200);

  function change(name, value) {
    filters[name] = value.trim();
    setQuery({ [name]: filters[name] });
    reload();
  }
  const text = (name, label, hint) =>
    field(
      label,
      h("input", {
        type: "search",
        value: filters[name],
        placeholder: hint,
        "data-search": name === "search",
        oninput: (event) => change(name, event.target.value),
      }),
    );

  root.append(
    h(
      "div",
      { class: "head" },
      h("h1", null, "Overview"),
      h("a", { class: "button primary", href: "/start" }, "Start a run"),
    ),
    experiments,
    h(
      "section",
      { "aria-labelledby": "runs-title" },
      h("div", { class: "section-head" }, h("h2", { id: "runs-title" }, "Runs"), list.total, list.compare),
      h(
        "form",
        { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        text("search", "Search", "id, scenario or label"),
        field(
          "Status",
          select([["", "any"], ...STATUSES], filters.status, (value) => change("status", value)),
        ),
        text("scenario", "Scenario", "name"),
        text("label", "Label", "name=value"),
      ),
      list.element,
    ),
  );

  const showExperiments = async () => {
    const all = await get("/api/experiments", {}, signal);
    fill(experiments, all.length > 0 && experimentTable(all));
  };
  await Promise.all([list.reload(), showExperiments()]);
  const again = serial(async () => {
    if (!signal.aborted) await showExperiments().catch(() => {}); // the connection's state is shown already
  }, 1500);
  follow(
    "/api/stream",
    {
      runs: (news) => (news.reset ? list.refresh() : list.change(news.changed ?? [], news.removed ?? [])),
      experiments: again,
    },
    { signal },
  );
}

class RunList {
  constructor(filters, signal) {
    this.filters = filters;
    this.signal = signal;
    this.rows = new Map();
    this.chosen = new Set();
    this.next = null;
    this.total = h("span", { class: "dim", role: "status" });
    this.compare = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.compareChosen() },
      "Compare",
    );
    this.body = h("tbody");
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.load() }, "Show more");
    this.note = h("div");
    this.element = h("div", null, runTable(this.body), this.note, h("div", { class: "buttons" }, this.more));
    this.refresh = serial(() => this.reload(), 1000);
  }

  async reload() {
    const shown = Math.max(PAGE, this.rows.size);
    this.next = null;
    await this.load(Math.min(shown, 500), true);
  }

  async load(limit = PAGE, anew = false) {
    let page;
    try {
      page = await get("/api/runs", { ...this.asked(), limit, before: this.next }, this.signal);
    } catch (error) {
      if (this.signal.aborted) return;
      fill(this.note, failure(error));
      return;
    }
    if (anew) {
      this.rows.clear();
      this.body.replaceChildren();
    }
    fill(this.note);
    for (const run of page.runs) this.show(run);
    this.next = page.next;
    this.more.hidden = !page.next;
    this.total.textContent = plural(page.total, "run");
    if (page.total === 0) fill(this.note, this.nothing());
  }

  /** The filters as the server takes them: a label that is not written to its end is none yet. */
  asked() {
    const { label } = this.filters;
    return { ...this.filters, label: /^[^=]+=./.test(label) ? label : "" };
  }

  nothing() {
    if (FILTERS.some((name) => this.filters[name]))
      return h("p", { class: "empty" }, "No run matches these filters.");
    return h(
      "p",
      { class: "empty" },
      "This store holds no runs yet. ",
      h("a", { href: "/start" }, "Start one here"),
      ", or on a terminal with ",
      h("code", null, "pyscrai run FILE"),
      ".",
    );
  }

  show(run) {
    const row = runRow(run, this.chosen.has(run.id), (on) => this.choose(run.id, on));
    const old = this.rows.get(run.id);
    if (old?.contains(document.activeElement)) {
      const focused = document.activeElement.tagName;
      old.replaceWith(row);
      row.querySelector(focused)?.focus();
    } else if (old) old.replaceWith(row);
    else this.body.append(row);
    this.rows.set(run.id, row);
  }

  change(changed, removed) {
    for (const id of removed) {
      this.rows.get(id)?.remove();
      this.rows.delete(id);
      this.chosen.delete(id);
    }
    let unknown = removed.length > 0;
    for (const run of changed) {
      if (this.rows.has(run.id) && (!this.filters.status || this.filters.status === run.status))
        this.show(run);
      else unknown = true;
      if (questions(run).length) announce(`${run.scenario} ${brief(run.id)} asks a question`);
    }
    if (unknown) this.refresh();
  }

  choose(id, on) {
    if (on) this.chosen.add(id);
    else this.chosen.delete(id);
    this.compare.hidden = this.chosen.size === 0;
    this.compare.disabled = this.chosen.size !== 2;
    this.compare.textContent = this.chosen.size === 2 ? "Compare the two" : "Select two to compare";
  }

  compareChosen() {
    const [left, right] = this.chosen;
    navigate(`/compare?left=${encodeURIComponent(left)}&right=${encodeURIComponent(right)}`);
  }
}

function runTable(body) {
  const heads = [
    ["", "pick"],
    ["Run"],
    ["Status"],
    ["Progress", "wide"],
    ["Steps", "num wide"],
    ["Events", "num wide"],
    ["Calls", "num wide"],
    ["Tokens", "num wide"],
    ["Cost", "num large"],
    ["Problems", "wide"],
    ["Started", "wide"],
  ];
  return h(
    "table",
    { class: "data runs" },
    h("caption", { class: "unseen" }, "Runs"),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map(([text, kind]) =>
          text
            ? h("th", { scope: "col", class: kind }, text)
            : h("td", { class: kind }, h("span", { class: "unseen" }, "Select")),
        ),
      ),
    ),
    body,
  );
}

function runRow(run, chosen, onchoose) {
  const tokens = (run.usage?.input ?? 0) + (run.usage?.output ?? 0);
  const asks = questions(run);
  return h(
    "tr",
    { "data-run": run.id, class: `row-${run.status}` },
    h(
      "td",
      { class: "pick" },
      h("input", {
        type: "checkbox",
        checked: chosen,
        "aria-label": `Select ${run.scenario} ${brief(run.id)} to compare`,
        onchange: (event) => onchoose(event.target.checked),
      }),
    ),
    h(
      "th",
      { scope: "row" },
      h(
        "a",
        { class: "run-name", href: `/runs/${encodeURIComponent(run.id)}` },
        h("bdi", null, run.scenario),
        " ",
        h("span", { class: "id" }, brief(run.id)),
      ),
      h("div", { class: "sub" }, `seed ${run.seed}`, run.parent && " · fork", labels(run)),
      asks.length > 0 &&
        h("div", { class: "asks" }, `${asks.map((one) => one.agent).join(", ")}: waits for an answer`),
      h(
        "div",
        { class: "sub narrow" },
        h("span", null, plural(run.events, "event")),
        h("span", null, money(run.cost)),
        h("span", { class: "when" }, time(run.created)),
        troubles(run),
      ),
    ),
    h(
      "td",
      null,
      badge(run.status),
      run.error && h("div", { class: "sub error", title: run.error }, run.error),
    ),
    h("td", { class: "wide" }, isOver(run) ? null : progress(run.progress, `Progress of ${brief(run.id)}`)),
    h("td", { class: "num wide" }, count(run.steps)),
    h("td", { class: "num wide" }, count(run.events)),
    h("td", { class: "num wide" }, count(run.calls)),
    h("td", { class: "num wide" }, run.usage?.estimated ? "~" : "", short(tokens)),
    h("td", { class: "num large" }, money(run.cost)),
    h("td", { class: "wide" }, troubles(run)),
    h("td", { class: "wide when" }, time(run.created)),
  );
}

function share({ done, failed, expected }) {
  return expected ? (done + failed) / expected : null;
}

function experimentTable(all) {
  return h(
    "section",
    { "aria-labelledby": "experiments-title" },
    h(
      "div",
      { class: "section-head" },
      h("h2", { id: "experiments-title" }, "Experiments"),
      h("span", { class: "dim" }, count(all.length)),
    ),
    h(
      "table",
      { class: "data experiments" },
      h("caption", { class: "unseen" }, "Experiments"),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          [
            ["Experiment"],
            ["Status"],
            ["Progress", "wide"],
            ["Trials", "num"],
            ["Failed", "num wide"],
            ["Cost", "num"],
            ["Time left", "num wide"],
          ].map(([text, kind]) => h("th", { scope: "col", class: kind }, text)),
        ),
      ),
      h(
        "tbody",
        null,
        all.map((one) =>
          h(
            "tr",
            { "data-experiment": one.name },
            h(
              "th",
              { scope: "row" },
              h("a", { href: `/experiments/${encodeURIComponent(one.name)}` }, one.name),
            ),
            h("td", null, badge(one.status)),
            h("td", { class: "wide" }, progress(share(one), `Progress of ${one.name}`)),
            h("td", { class: "num" }, `${count(one.done)} / ${count(one.expected)}`),
            h("td", { class: "num wide" }, count(one.failed)),
            h("td", { class: "num" }, money(one.dollars)),
            h("td", { class: "num wide" }, seconds(one.left_seconds)),
          ),
        ),
      ),
    ),
  );
}
