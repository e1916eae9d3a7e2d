"use strict";
// Shows the events of one agent or kind, or with some words. The choice is in the address, so that it can be shared.
const form = document.querySelector("form");
const lines = [...document.querySelectorAll("ol.log > li")];
const shown = document.querySelector("output");

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of ["agent", "kind", "words"]) form.elements[name].value = given.get(name) ?? "";
}

function filter() {
  const [agent, kind, words] = ["agent", "kind", "words"].map((name) => form.elements[name].value);
  const wanted = words.toLowerCase();
  let count = 0, step = null;
  for (const line of lines) {
    if (line.className === "step") { if (step) step.hidden = true; step = line; continue; }
    const fits = (!agent || line.dataset.agent === agent) && (!kind || line.dataset.kind === kind)
      && (!wanted || line.textContent.toLowerCase().includes(wanted));
    line.hidden = !fits;
    if (fits) { count += 1; if (step) step.hidden = false; step = null; }
  }
  if (step) step.hidden = true;
  shown.value = `${count} events`;
}

form.addEventListener("input", () => {
  const given = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  history.replaceState(null, "", `#${given}`);
  filter();
});
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => { read(); filter(); });
form.hidden = false;
read();
filter();
