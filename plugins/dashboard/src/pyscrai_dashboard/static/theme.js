// Light and dark: as the system says, unless the reader chose.

import { announce } from "./dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const NAMES = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };

/** What was kept under this name; `otherwise` if nothing was, or if the browser keeps nothing. */
export function kept(name, otherwise) {
  try {
    return localStorage.getItem(`pyscrai.${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`pyscrai.${name}`, value);
  } catch {
    // A browser that keeps nothing: the choice lasts until the page is left.
  }
}

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new CustomEvent("theme"));
}

export function startTheme(button) {
  let theme = NEXT[kept("theme", "auto")] ? kept("theme", "auto") : "auto";
  function show() {
    button.textContent = NAMES[theme];
    apply(theme);
  }
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    keep("theme", theme);
    show();
    announce(NAMES[theme]);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new CustomEvent("theme")),
  );
  show();
}

/** The colour of a CSS custom property in the theme that is shown, for what is drawn on a canvas. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
