// Orders that execute a scenario: it may need a person's approval first.

import { ApiError, post } from "../api.js";
import { h } from "../dom.js";
import { form, showDialog } from "../dialog.js";

/**
 * Send an order. If the scenario demands more than to be data, what it demands is shown, and the order is sent again
 * when it was approved. `done(answer)` is called when it was taken.
 */
export async function execute(path, body, done, approved = []) {
  try {
    done(await post(path, approved.length ? { ...body, approve: approved } : body));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 409 || !error.body?.demands) throw error;
    askForApproval(error.body, (content) => execute(path, body, done, [...approved, content]));
  }
}

function askForApproval({ demands, content }, approve) {
  showDialog("This scenario needs your approval", (close) =>
    form(
      "Approve and start",
      [
        h("p", null, "It is data until you trust it. If you approve, it may:"),
        h(
          "ul",
          { class: "demands" },
          demands.map((one) => h("li", null, describe(one))),
        ),
        h("p", { class: "hint" }, "The approval is kept for exactly this content and these demands."),
      ],
      async () => {
        await approve(content);
        close();
      },
      h("button", { type: "button", onclick: close }, "Cancel"),
    ),
  );
}

function describe(demand) {
  if (typeof demand === "string") return demand;
  return Object.values(demand)
    .filter((part) => typeof part === "string")
    .join(": ");
}
