// The transcript with its step slider, and the panel for events and the world.

import { debounce, fill, h, throttle, writing } from "../dom.js";
import { count } from "../format.js";
import { setQuery } from "../router.js";
import { showEvent } from "./inspector.js";
import { Transcript } from "./transcript.js";
import { World } from "./world.js";

export function eventsTab(view, query) {
  return new EventsTab(view, query).element;
}

class EventsTab {
  constructor(view, query) {
    this.view = view;
    this.panel = h("aside", { class: "panel", "aria-label": "Details", hidden: true });
    this.panelBody = h("div", { class: "panel-body", tabindex: "-1" });
    this.slider = h("input", { type: "range", min: "0", "aria-label": "Step", oninput: () => this.slid() });
    this.stepText = h("output", { class: "num step-text" });
    const context = {
      id: view.id,
      log: view.log,
      agents: view.agents,
      signal: view.signal,
      live: () => view.live(),
      step: () => Number(this.slider.value),
      chosen: (seq, open) => this.chosen(seq, open),
    };
    this.transcript = new Transcript(context, query);
    this.world = new World(context, (seq) => this.jump(seq));
    this.readWorld = debounce(() => this.world.show(this.step), 60);
    this.fillPanel();
    this.element = h(
      "div",
      { class: "events-tab" },
      this.stepBar(),
      h("div", { class: "split" }, this.transcript.element, this.panel),
    );
    this.followsSteps = !query.has("step") && view.live();
    this.grew();
    this.slider.value = query.get("step") ?? (view.live() ? this.slider.max : "1"); // who reads a run that is over begins
    this.showStep();
    view.grew = () => this.grew();
    document.addEventListener("keydown", (event) => this.key(event), { signal: view.signal });
    // The transcript reaches to the bottom of the window, whatever is above it.
    const fit = new ResizeObserver(() => {
      const { top } = this.transcript.list.element.getBoundingClientRect();
      this.element.style.setProperty("--above", `${Math.round(top + window.scrollY)}px`);
    });
    fit.observe(view.root);
    view.signal.addEventListener("abort", () => fit.disconnect());
    const seq = Number(query.get("event"));
    if (seq) requestAnimationFrame(() => this.transcript.choose(seq, { open: true, start: true }));
    else if (query.has("step")) requestAnimationFrame(() => this.slid());
    else if (matchMedia("(min-width: 62rem)").matches) this.openPanel("world", false);
  }

  get step() {
    return Number(this.slider.value);
  }

  stepBar() {
    const move = (by) => () => this.moveStep(by);
    return h(
      "div",
      { class: "step-bar", role: "group", "aria-label": "Steps" },
      h("button", { type: "button", "aria-label": "Step before", onclick: move(-1) }, "‹"),
      this.slider,
      h("button", { type: "button", "aria-label": "Step after", onclick: move(1) }, "›"),
      this.stepText,
      h(
        "button",
        { type: "button", class: "world-button", onclick: () => this.openPanel("world", true) },
        "World",
      ),
    );
  }

  fillPanel() {
    const choice = (name, text) =>
      h(
        "button",
        { type: "button", class: "tab", "data-panel": name, onclick: () => this.openPanel(name, false) },
        text,
      );
    fill(
      this.panel,
      h(
        "div",
        { class: "panel-head" },
        choice("world", "World"),
        choice("event", "Event"),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": "Close the panel",
            onclick: () => this.closePanel(),
          },
          "×",
        ),
      ),
      this.panelBody,
    );
  }

  grew() {
    const last = this.view.log.lastStep;
    const atEnd = this.followsSteps;
    this.slider.max = String(last);
    this.slider.disabled = last === 0;
    if (atEnd && this.step !== last) this.slider.value = String(last);
    this.showStep();
    this.transcript.grew();
    if (atEnd && this.panelShows === "world") this.readWorldAgain();
  }

  readWorldAgain() {
    this.again ??= throttle(() => {
      this.world.step = this.step;
      this.world.again();
    }, 700);
    this.again();
  }

  showStep() {
    this.stepText.textContent = `step ${count(this.step)} of ${count(this.view.log.lastStep)}`;
    this.slider.setAttribute("aria-valuetext", this.stepText.textContent);
  }

  /** The reader moved the slider. */
  slid() {
    this.followsSteps = this.view.live() && this.step === this.view.log.lastStep;
    this.showStep();
    this.transcript.toStep(this.step);
    setQuery({ step: this.followsSteps ? "" : this.step });
    if (this.panelShows === "world") this.readWorld();
    else if (!this.panel.hidden) this.openPanel("world", false);
  }

  moveStep(by) {
    this.slider.value = String(this.step + by);
    this.slid();
  }

  jump(seq) {
    this.transcript.choose(seq, { open: true });
  }

  chosen(seq, open) {
    this.seq = seq;
    const row = this.view.log.rows[this.view.log.at.get(seq)];
    this.followsSteps = false;
    this.slider.value = String(row[1]);
    this.showStep();
    if (open) this.openPanel("event", false);
    else if (!this.panel.hidden && this.panelShows === "event") this.readEvent();
    else if (this.panelShows === "world") this.readWorld();
  }

  openPanel(name, focus) {
    this.panelShows = name;
    this.panel.hidden = false;
    this.element.classList.add("with-panel");
    for (const button of this.panel.querySelectorAll("[data-panel]")) {
      button.setAttribute("aria-pressed", String(button.dataset.panel === name));
    }
    if (name === "world") {
      this.reading?.abort();
      fill(this.panelBody, this.world.element);
      this.world.show(this.step);
    } else this.readEvent();
    if (focus) this.panelBody.focus();
  }

  readEvent() {
    this.reading?.abort();
    this.reading = new AbortController();
    this.view.signal.addEventListener("abort", () => this.reading.abort());
    setQuery({ event: this.seq });
    if (!this.seq) {
      fill(
        this.panelBody,
        h("p", { class: "empty" }, "Choose an event to see the prompt and the answer behind it."),
      );
      return;
    }
    const fork = h(
      "button",
      { type: "button", onclick: () => this.view.control.fork(this.seq) },
      "Fork from here",
    );
    showEvent(this.panelBody, {
      id: this.view.id,
      seq: this.seq,
      signal: this.reading.signal,
      actions: [!this.view.info.read_only && fork],
      jump: (seq) => this.jump(seq),
    });
    this.panelBody.scrollTop = 0;
  }

  closePanel() {
    this.panel.hidden = true;
    this.panelShows = "";
    this.reading?.abort();
    this.element.classList.remove("with-panel");
    setQuery({ event: "" });
    (this.transcript.list.element.querySelector(".chosen") ?? this.transcript.list.element).focus({
      preventScroll: true,
    });
  }

  key(event) {
    if (!this.element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && !this.panel.hidden && event.target.type !== "search") this.closePanel();
    if (writing(event.target)) return;
    if (event.key === "[") this.moveStep(-1);
    if (event.key === "]") this.moveStep(1);
  }
}
