// Starting a scenario.

import { announce, field, h, unique } from "../dom.js";
import { form } from "../dialog.js";
import { parseLines } from "../format.js";
import { getInfo } from "../info.js";
import { navigate, title } from "../router.js";
import { execute } from "./approval.js";

export async function startRun(root, _parts, query, signal) {
  title("Start a run");
  const info = await getInfo();
  signal.throwIfAborted();
  root.append(h("div", { class: "head" }, h("h1", null, "Start a run")));
  if (info.read_only || info.can_start === false) {
    root.append(
      h(
        "div",
        { class: "notice" },
        h(
          "p",
          null,
          info.read_only
            ? "This dashboard was started with --read-only: it shows runs, and starts none."
            : "This dashboard cannot start runs. Start one on a terminal with pyscrai run FILE.",
        ),
      ),
    );
    return;
  }
  const files = unique("files");
  const file = h("input", {
    type: "text",
    required: true,
    list: files,
    value: query.get("file") ?? "",
    autocomplete: "off",
    spellcheck: "false",
  });
  const seed = h("input", { type: "number", step: "1", inputmode: "numeric" });
  const overrides = h("textarea", {
    rows: "4",
    spellcheck: "false",
    placeholder: 'agents.Mara.goals = ["Sell everything"]',
  });
  const labels = h("textarea", { rows: "2", spellcheck: "false", placeholder: "study = pilot" });
  const fields = [
    field(
      "Scenario file",
      file,
      "A path, relative to the folder in which the dashboard runs.",
      h(
        "datalist",
        { id: files },
        info.scenarios.map((one) => h("option", { value: one })),
      ),
    ),
    field("Seed", seed, "Empty: the scenario's own."),
    field("Overrides", overrides, "One on a line, PATH=VALUE, as --set has them."),
    field("Labels", labels, "One on a line, NAME=VALUE. The run can be found by them."),
  ];
  async function begin() {
    const request = {
      file: file.value.trim(),
      set: parseLines(overrides.value),
      labels: parseLines(labels.value),
      seed: seed.value === "" ? null : Number(seed.value),
    };
    await execute("/api/start", request, opened);
  }
  root.append(
    h(
      "div",
      { class: "columns" },
      form("Start", fields, begin),
      info.scenarios.length > 0 &&
        h(
          "section",
          { "aria-labelledby": "found" },
          h("h2", { id: "found" }, "Scenarios found here"),
          h(
            "ul",
            { class: "files" },
            info.scenarios.map((one) =>
              h(
                "li",
                null,
                h(
                  "button",
                  {
                    type: "button",
                    class: "link",
                    onclick: () => {
                      file.value = one;
                      file.focus();
                    },
                  },
                  one,
                ),
              ),
            ),
          ),
        ),
    ),
  );
}

function opened(answer) {
  announce("The run has started");
  navigate(`/runs/${encodeURIComponent(answer.run)}`);
}
