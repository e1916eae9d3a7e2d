// Addresses and views. A view is a function of its element, the address's parts, and a signal that is aborted
// when the reader goes elsewhere.

import { h, fill, announce } from "./dom.js";
import { aborted } from "./api.js";

let routes = [];
let controller = null;

/** Set the routes, `[[pattern, view, nav]]`, and show the view of the current address. */
export function start(table) {
  routes = table;
  window.addEventListener("popstate", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const to = new URL(link.href?.baseVal ?? link.href, location.href);
    if (to.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    if (to.pathname.startsWith("/api/") || link.hasAttribute("download")) return;
    event.preventDefault();
    navigate(to.pathname + to.search);
  });
  show();
}

export function navigate(path) {
  history.pushState(null, "", path);
  show();
  document.getElementById("main").focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Change the query of the address without leaving the view. Empty values are left out. */
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
}

export function title(text) {
  document.title = text ? `${text} · PyScrAI` : "PyScrAI";
}

/** A box with an error, and what can be done about it. */
export function failure(error, ...more) {
  return h("div", { class: "notice bad", role: "alert" }, h("p", null, error.message ?? String(error)), more);
}

async function show() {
  controller?.abort();
  controller = new AbortController();
  const { signal } = controller;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const main = document.getElementById("main");
  const path = location.pathname;
  for (const [pattern, view, nav] of routes) {
    const found = pattern.exec(path);
    if (!found) continue;
    for (const link of document.querySelectorAll("[data-nav]")) {
      if (link.dataset.nav === nav) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const root = h("div", { class: "view" });
    fill(main, root);
    try {
      await view(root, { ...found.groups }, new URLSearchParams(location.search), signal);
    } catch (error) {
      if (aborted(error) || signal.aborted) return;
      title("Error");
      fill(
        root,
        h("h1", null, error.status === 404 ? "Not found" : "This cannot be shown"),
        failure(error, h("p", null, h("a", { href: "/" }, "Go to the overview"))),
      );
      announce(error.message);
      if (!("status" in error)) console.error(error);
    }
    return;
  }
  title("Not found");
  fill(
    main,
    h(
      "div",
      { class: "view" },
      h("h1", null, "Not found"),
      h("p", null, "There is no such page. ", h("a", { href: "/" }, "Go to the overview")),
    ),
  );
}
