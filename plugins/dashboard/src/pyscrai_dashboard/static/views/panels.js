// Panels of other plugins: modules with `render(element, {run | experiment, api, signal})`. `api.data()` asks for what
// the plugin's function returns, `api.act(order)` gives it an order, `api.get(path, query)` asks for more.

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { failure } from "../router.js";

export async function panelTab(panel, subject, signal) {
  const element = h("div", { class: "foreign-panel", "data-panel-id": panel.id });
  const path = panel.module.startsWith("/")
    ? panel.module
    : `/panels/${encodeURIComponent(panel.id)}/${panel.module}`;
  try {
    const module = await import(path);
    const names = subject.run ? { run: subject.run.id } : { experiment: subject.experiment.name };
    const data = () => api.get(panel.data, names, signal);
    const act = (order) => api.post(api.address(panel.data, names), order);
    await module.render(element, { ...subject, api: { ...api, data, act }, signal });
  } catch (error) {
    fill(element, failure({ message: `The panel ${panel.id} failed: ${error.message}` }));
  }
  return element;
}
