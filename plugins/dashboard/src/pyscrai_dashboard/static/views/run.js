// A run: its state above, and below it the transcript, charts, and what other plugins show.

import { get, runPath } from "../api.js";
import { announce, fill, h, serial } from "../dom.js";
import { brief, count, money, seconds, short, time } from "../format.js";
import { getInfo } from "../info.js";
import { follow } from "../live.js";
import { failure, setQuery, title } from "../router.js";
import { badge, isOver, labels, progress, questions, troubles } from "../status.js";
import { RunLog } from "../run_log.js";
import { Control, Questions } from "./control.js";
import { callsTab } from "./calls.js";
import { eventsTab } from "./run_events.js";
import { networkTab } from "./network.js";
import { panelTab } from "./panels.js";
import { resultsTab } from "./results.js";
import { usageTab } from "./usage.js";

export async function run(root, { id: given }, query, signal) {
  const ref = decodeURIComponent(given);
  title(brief(ref));
  const log = new RunLog(ref, signal);
  const [details] = await Promise.all([get(runPath(ref), {}, signal), log.load()]);
  log.id = details.id; // the address may have the beginning of it
  signal.throwIfAborted();
  const view = new RunView(root, details, log, signal);
  // Looking for plugins takes a moment when the server has just started: only their panels wait for it.
  const info = getInfo().then((found) => view.setInfo(found));
  if (query.get("tab")?.startsWith("panel-")) await info;
  await view.open(query);
  await info;
}

class RunView {
  constructor(root, details, log, signal) {
    Object.assign(this, {
      root,
      run: details,
      log,
      signal,
      id: details.id,
      info: { read_only: false, panels: [] },
    });
    this.agents = (details.agents ?? []).map((agent) => agent.name);
    this.facts = h("div", { class: "facts" });
    this.control = new Control(this.id, () => this.run);
    this.questions = new Questions(this.id);
    this.gone = h("div");
    this.content = h("div", { class: "tab-content" });
    this.tabs = this.findTabs();
    this.changed = new Set(); // what the open tab does when the run moves
  }

  findTabs() {
    const own = [
      ["events", "Transcript", eventsTab],
      ["results", "Results", resultsTab],
      ["usage", "Usage", usageTab],
      ["network", this.run.map ? "Map and network" : "Network", networkTab],
      ["calls", "Calls", callsTab],
    ];
    const others = (this.info.panels ?? [])
      .filter((panel) => panel.for === "run")
      .map((panel) => [
        `panel-${panel.id}`,
        panel.title,
        (view) => panelTab(panel, { run: view.run }, view.signal),
      ]);
    return [...own, ...others];
  }

  /** Take over what /api/info answered. */
  setInfo(info) {
    this.info = info;
    this.control.setReadOnly(info.read_only);
    this.questions.setReadOnly(info.read_only);
    this.tabs = this.findTabs();
    if (this.nav) this.showTabs();
  }

  live() {
    return this.run.status === "running" || this.run.status === "paused";
  }

  async open(query) {
    const { run } = this;
    this.nav = h("nav", { class: "tabs", "aria-label": "Parts of the run" });
    this.showTabs();
    fill(
      this.root,
      h(
        "div",
        { class: "head run-head" },
        h(
          "div",
          null,
          h(
            "p",
            { class: "crumbs" },
            h("a", { href: "/" }, "Runs"),
            " / ",
            run.experiment && [
              h("a", { href: `/experiments/${encodeURIComponent(run.experiment)}` }, run.experiment),
              " / ",
            ],
            run.parent && [
              "fork of ",
              h("a", { href: `/runs/${encodeURIComponent(run.parent)}` }, brief(run.parent)),
            ],
            !run.parent && "run",
          ),
          h("h1", null, h("bdi", null, run.scenario), " ", h("span", { class: "id" }, brief(run.id))),
          run.premise && h("p", { class: "premise one-line", title: run.premise }, run.premise),
        ),
        this.control.element,
      ),
      this.gone,
      this.questions.element,
      this.facts,
      this.nav,
      this.content,
    );
    this.root.classList.add("run-view");
    this.showFacts();
    await this.show(query.get("tab") ?? "events", query);
    this.connect();
  }

  showTabs() {
    const open = (key) => (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.show(key);
    };
    const links = this.tabs.map(([key, text]) =>
      h("a", { href: `?tab=${key}`, "data-tab": key, onclick: open(key) }, text),
    );
    fill(this.nav, links);
    this.markTab();
  }

  markTab() {
    for (const link of this.nav.children) {
      if (link.dataset.tab === this.shown) {
        link.setAttribute("aria-current", "page");
        this.nav.scrollLeft = link.offsetLeft - this.nav.offsetLeft - 40; // on a phone, not all have room
      } else link.removeAttribute("aria-current");
    }
  }

  connect() {
    const moved = serial(() => Promise.all([...this.changed].map((work) => work())), 1000);
    let first = true;
    follow(
      `${runPath(this.id, "stream")}?after=${this.log.last}`,
      {
        events: ({ events }) => {
          if (this.log.append(events)) this.grew?.();
          moved();
        },
        summary: (summary) => this.summary(summary),
        gone: ({ reason }) => {
          fill(this.gone, failure({ message: `${reason}. What you see is what was read before.` }));
          announce(reason);
        },
      },
      {
        signal: this.signal,
        resume: (last) => `${runPath(this.id, "stream")}?after=${last}`,
        onOpen: () => {
          if (!first) moved();
          first = false;
          fill(this.gone); // the store is there again
        },
      },
    );
  }

  async summary(summary) {
    const before = this.run.status;
    this.run = { ...this.run, ...summary };
    this.showFacts();
    if (before !== summary.status) {
      announce(`The run is ${summary.status}`);
      await this.readDetails();
      this.showFacts();
      for (const work of this.changed) work();
    }
  }

  /** What a summary does not have, such as outcomes and measures. */
  async readDetails() {
    this.run = { ...this.run, ...(await get(runPath(this.id), {}, this.signal)) };
  }

  showFacts() {
    const { run } = this;
    const asks = questions(run).length;
    title(`${asks ? "(?) " : ""}${run.scenario} ${brief(run.id)}, ${run.status}`);
    const tokens = (run.usage?.input ?? 0) + (run.usage?.output ?? 0);
    const took = run.ended ?? (this.live() ? Date.now() / 1000 : null);
    const facts = [
      ["Steps", count(run.steps)],
      ["Events", count(run.events)],
      ["Calls", count(run.calls)],
      ["Tokens", `${run.usage?.estimated ? "~" : ""}${short(tokens)}`],
      [
        "Cached",
        run.usage?.input ? `${Math.round((100 * (run.usage.cached ?? 0)) / run.usage.input)} %` : null,
      ],
      ["Cost", money(run.cost)],
      ["Seed", run.seed],
      ["Closed choices", drawn(run.draws)],
      ["Started", time(run.created)],
      ["Took", took && run.created ? seconds(took - run.created) : null],
    ].filter(([, value]) => value !== null);
    fill(
      this.facts,
      h(
        "div",
        { class: "fact-status" },
        badge(run.status),
        isOver(run) ? null : progress(run.progress, "Progress of the run"),
        troubles(run),
        labels(run),
      ),
      h(
        "dl",
        { class: "fact-list" },
        facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { class: "num" }, value))),
      ),
      run.error &&
        h("div", { class: `notice ${run.status === "failed" ? "bad" : ""}` }, h("p", null, run.error)),
    );
    this.control.show();
    this.questions.show(run);
  }

  /** Open a tab. A tab is a function of this view that returns an element, or a promise of one. */
  async show(key, query = new URLSearchParams()) {
    const [name, text, build] = this.tabs.find(([one]) => one === key) ?? this.tabs[0];
    setQuery({ tab: name === "events" ? "" : name });
    this.changed.clear();
    this.grew = null;
    this.shown = name;
    this.markTab();
    fill(this.content, h("p", { class: "loading" }, `Reading: ${text}…`));
    try {
      const element = await build(this, query);
      if (this.shown === name) fill(this.content, element);
    } catch (error) {
      if (this.signal.aborted) return;
      fill(this.content, failure(error));
      if (!("status" in error)) console.error(error);
    }
  }
}

/** Who draws closed choices: "by the kernel (default)"; null: nobody knows. */
function drawn(draws) {
  const makers = [...new Set(Object.values(draws ?? {}))];
  const named = (who) => Object.keys(draws).filter((name) => draws[name] === who);
  return makers.map((who) => `by the ${who} (${named(who).join(", ")})`).join("; ") || null;
}
