// Dialogs: the browser's own, which keep the focus, and close with Esc.

import { h, fill, unique } from "./dom.js";
import { failure } from "./router.js";

/** Show a dialog with what `build(close)` returns. The focus goes back to where it was. */
export function showDialog(title, build) {
  const heading = unique("dialog");
  const dialog = h("dialog", { "aria-labelledby": heading });
  const close = () => dialog.close();
  dialog.append(
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: heading }, title),
      h("button", { class: "quiet", type: "button", "aria-label": "Close", onclick: close }, "\u00d7"),
    ),
    build(close),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * A form in a dialog. `submit` is awaited; what it raises is shown above the buttons, and the dialog stays open.
 */
export function formDialog(title, action, fields, submit) {
  return showDialog(title, (close) =>
    form(
      action,
      fields,
      async () => {
        await submit();
        close();
      },
      h("button", { type: "button", onclick: close }, "Cancel"),
    ),
  );
}

/** A form with one button, and its errors as text. */
export function form(action, fields, submit, ...more) {
  const errors = h("div", { class: "form-errors", "aria-live": "assertive" });
  const button = h("button", { class: "primary", type: "submit" }, action);
  return h(
    "form",
    {
      class: "form",
      onsubmit: async (event) => {
        event.preventDefault();
        if (button.disabled) return;
        button.disabled = true;
        fill(errors);
        try {
          await submit();
        } catch (error) {
          fill(errors, failure(error));
        } finally {
          button.disabled = false;
        }
      },
    },
    fields,
    errors,
    h("div", { class: "buttons" }, button, more),
  );
}
