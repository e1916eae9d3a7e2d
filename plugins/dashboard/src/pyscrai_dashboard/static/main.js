// The beginning: theme, shortcuts, and which view belongs to which address.

import { get } from "./api.js";
import { h, writing } from "./dom.js";
import { showDialog } from "./dialog.js";
import { start } from "./router.js";
import { startTheme } from "./theme.js";
import { setInfo } from "./info.js";
import { overview } from "./views/overview.js";
import { run } from "./views/run.js";
import { compare } from "./views/compare.js";
import { experiment } from "./views/experiment.js";
import { startRun } from "./views/start.js";

const KEYS = [
  ["/", "search"],
  ["j, k or ↓, ↑", "next and previous event"],
  ["Home, End", "first and last event"],
  ["Enter", "open the event: prompt and answer"],
  ["Space", "unfold or fold a thought"],
  ["[ and ]", "step before and after"],
  ["Esc", "close the panel"],
  ["?", "this list"],
];

function showKeys() {
  showDialog("Keyboard shortcuts", () =>
    h(
      "dl",
      { class: "pairs" },
      KEYS.flatMap(([keys, what]) => [h("dt", null, keys), h("dd", null, what)]),
    ),
  );
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || writing(event.target)) return;
  if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  } else if (event.key === "?") showKeys();
});

startTheme(document.getElementById("theme"));
document.getElementById("keys").addEventListener("click", showKeys);

setInfo(get("/api/info"));
start([
  [/^\/$/, overview, "overview"],
  [/^\/runs\/(?<id>[^/]+)$/, run, "run"],
  [/^\/compare$/, compare, "compare"],
  [/^\/experiments\/(?<name>.+)$/, experiment, "experiment"],
  [/^\/start$/, startRun, "start"],
]);
