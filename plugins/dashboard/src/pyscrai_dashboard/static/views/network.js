// Who addresses whom, and where the scenario has places or a network of its own, these at a step.

import { get, runPath } from "../api.js";
import { debounce, drawingWidth, fill, h, svg, table, unique } from "../dom.js";
import { hue } from "../event.js";
import { count, plural } from "../format.js";
import { place } from "../layout.js";

const EDGE = 70; // room for names
const MOST_NAMES = 60;
const BOW = 24; // how far a line bends at most: less than what is left around the nodes

export async function networkTab(view) {
  const root = h("div", { class: "networks" });
  const talk = h("div");
  const read = async () => {
    const graph = await get(runPath(view.id, "graph"), {}, view.signal);
    fill(talk, drawing("Who addresses or answers whom", graph.nodes, graph.edges, view));
  };
  const world = view.run.map || view.run.network ? worldAt(view) : null;
  await Promise.all([read(), world?.ready]);
  view.changed.add(() => {
    world?.again();
    return read().catch(() => {});
  });
  root.append(...[world?.element, talk].filter(Boolean));
  return root;
}

/** The scenario's places and network, with a slider for the step. */
function worldAt(view) {
  const holder = h("div");
  const text = h("output", { class: "num" });
  const slider = h("input", {
    type: "range",
    min: "0",
    max: String(view.log.lastStep),
    "aria-label": "Step of the map",
  });
  slider.value = slider.max;
  async function read() {
    text.textContent = `step ${slider.value}`;
    const now = await get(runPath(view.id, "state"), { step: slider.value }, view.signal);
    const map = now.map ?? view.run.map;
    const network = now.network ?? view.run.network;
    fill(
      holder,
      map && mapDrawing(map, view),
      network &&
        drawing(
          "Network of the scenario",
          network.nodes.map((node) => (typeof node === "string" ? { name: node } : node)),
          network.edges,
          view,
        ),
    );
  }
  slider.addEventListener(
    "input",
    debounce(() => read().catch(() => {}), 60),
  );
  return {
    ready: read(),
    again() {
      const atEnd = slider.value === slider.max;
      slider.max = String(view.log.lastStep);
      if (atEnd) {
        slider.value = slider.max;
        read().catch(() => {});
      }
    },
    element: h(
      "section",
      { "aria-label": "The world" },
      h("div", { class: "step-bar" }, slider, text),
      holder,
    ),
  };
}

function size() {
  const width = drawingWidth(760);
  return [width, Math.max(300, Math.round(width * 0.58))];
}

function drawing(title, nodes, edges, view) {
  const heading = unique("network");
  const [width, height] = size();
  const spots = place(
    nodes.map((node) => node.name),
    edges,
  );
  const most = Math.max(1, ...edges.map((edge) => edge.weight ?? 1));
  const at = (name) => {
    const spot = spots.get(name) ?? { x: 0.5, y: 0.5 };
    return { x: EDGE + spot.x * (width - 2 * EDGE), y: 30 + spot.y * (height - 60) };
  };
  const talkative = Math.max(1, ...nodes.map((node) => node.events ?? 1));
  const radius = (node) => 5 + 9 * Math.sqrt((node.events ?? talkative / 3) / talkative);
  const marker = unique("arrow");
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "network", role: "group", "aria-labelledby": heading },
    svg(
      "defs",
      null,
      svg(
        "marker",
        {
          id: marker,
          viewBox: "0 0 8 8",
          refX: "1",
          refY: "4",
          markerWidth: "9",
          markerHeight: "9",
          markerUnits: "userSpaceOnUse",
          orient: "auto",
        },
        svg("path", { d: "M0 0 L8 4 L0 8 z", class: "arrow" }),
      ),
    ),
    edges
      .filter((edge) => edge.from !== edge.to && spots.has(edge.from) && spots.has(edge.to))
      .map((edge) => line(at(edge.from), at(edge.to), edge, most, marker, nodes, radius)),
    nodes.map((node) => nodeMark(node, at(node.name), radius(node), nodes.length, view)),
  );
  return h(
    "section",
    { "aria-labelledby": heading },
    h("h2", { id: heading }, title),
    edges.length === 0 &&
      h(
        "p",
        { class: "hint" },
        "Nobody addressed anybody in particular: all that was said went to everyone.",
      ),
    h("div", { class: "network-box" }, picture),
    h(
      "p",
      { class: "hint" },
      nodes.some((node) => node.events)
        ? "The size of a node is its number of events, the width of a line how often. "
        : "The width of a line is its weight. ",
      "Choose a node for its events.",
    ),
    edges.length > 0 &&
      h(
        "details",
        { class: "numbers" },
        h("summary", null, `Numbers (${plural(edges.length, "pair")})`),
        table(
          title,
          ["From", "To", { text: "Times", class: "num" }],
          [...edges]
            .sort((a, b) => (b.weight ?? 1) - (a.weight ?? 1))
            .slice(0, 300)
            .map((edge) => [edge.from, edge.to, edge.label ?? count(edge.weight ?? 1)]),
        ),
      ),
  );
}

/** A curve, so that two directions between the same nodes stay apart. */
function line(from, to, edge, most, marker, nodes, radius) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const far = Math.hypot(dx, dy) || 1;
  const target = nodes.find((node) => node.name === edge.to);
  const gap = radius(target) + 11;
  const end = { x: to.x - (dx / far) * gap, y: to.y - (dy / far) * gap };
  const bow = Math.min(0.12, (2 * BOW) / far);
  const bend = { x: (from.x + end.x) / 2 - dy * bow, y: (from.y + end.y) / 2 + dx * bow };
  return svg(
    "path",
    {
      class: "edge",
      d: `M${from.x} ${from.y} Q${bend.x} ${bend.y} ${end.x} ${end.y}`,
      "stroke-width": 1 + 2.5 * ((edge.weight ?? 1) / most),
      "marker-end": `url(#${marker})`,
    },
    svg("title", null, `${edge.from} to ${edge.to}: ${edge.label ?? plural(edge.weight ?? 1, "time")}`),
  );
}

function nodeMark(node, { x, y }, size, all, view) {
  const href = `/runs/${encodeURIComponent(view.id)}?agent=${encodeURIComponent(node.name)}`;
  return svg(
    "a",
    { href, class: "node", "aria-label": `${node.name}, ${plural(node.events ?? 0, "event")}` },
    svg(
      "title",
      null,
      `${node.name}${node.group ? ` (${node.group})` : ""}: ${plural(node.events ?? 0, "event")}`,
    ),
    svg("circle", { cx: x, cy: y, r: size, "data-hue": hue(node.name, view.agents) }),
    all <= MOST_NAMES && svg("text", { x, y: y - size - 5, "text-anchor": "middle" }, node.name),
  );
}

function mapDrawing(map, view) {
  const [width, height] = size();
  const places = map.places.map((one) => ({ ...one, agents: one.agents ?? [], links: one.links ?? [] }));
  const known = places.every((one) => Number.isFinite(one.x) && Number.isFinite(one.y));
  const edges = places.flatMap((one) => one.links.map((to) => ({ from: one.name, to })));
  const spots = known
    ? scaled(places)
    : place(
        places.map((one) => one.name),
        edges,
      );
  const at = (name) => ({
    x: EDGE + spots.get(name).x * (width - 2 * EDGE),
    y: 40 + spots.get(name).y * (height - 100),
  });
  const heading = unique("map");
  return h(
    "section",
    { "aria-labelledby": heading },
    h("h2", { id: heading }, "Map"),
    h(
      "div",
      { class: "network-box" },
      svg(
        "svg",
        {
          viewBox: `0 0 ${width} ${height}`,
          class: "network map",
          role: "group",
          "aria-labelledby": heading,
        },
        edges
          .filter((edge) => spots.has(edge.to))
          .map((edge) => {
            const [a, b] = [at(edge.from), at(edge.to)];
            return svg("line", { class: "road", x1: a.x, y1: a.y, x2: b.x, y2: b.y });
          }),
        places.map((one) => placeMark(one, at(one.name), view)),
      ),
    ),
    h(
      "details",
      { class: "numbers" },
      h("summary", null, "As a list"),
      table(
        "Places",
        ["Place", "Who is there"],
        places.map((one) => [one.name, one.agents.join(", ") || "nobody"]),
      ),
    ),
  );
}

function placeMark(one, { x, y }, view) {
  const shown = one.agents.slice(0, 24);
  return svg(
    "g",
    { class: "place" },
    svg("title", null, `${one.name}: ${one.agents.join(", ") || "nobody"}`),
    svg("rect", { x: x - 46, y: y - 12, width: 92, height: 24, rx: 6 }),
    svg(
      "text",
      { x, y: y + 4, "text-anchor": "middle" },
      one.name.length > 14 ? `${one.name.slice(0, 13)}…` : one.name,
    ),
    shown.map((name, at) =>
      svg(
        "circle",
        {
          class: "person",
          cx: x - 38 + (at % 8) * 11,
          cy: y + 22 + Math.floor(at / 8) * 11,
          r: 4.5,
          "data-hue": hue(name, view.agents),
        },
        svg("title", null, name),
      ),
    ),
    one.agents.length > shown.length &&
      svg(
        "text",
        { x, y: y + 62, "text-anchor": "middle", class: "dim" },
        `and ${one.agents.length - shown.length} more`,
      ),
    one.agents.length > 0 &&
      one.agents.length <= 3 &&
      svg("text", { x: x - 38 + one.agents.length * 11, y: y + 26, class: "names" }, one.agents.join(", ")),
  );
}

function scaled(places) {
  const range = (key) => {
    const values = places.map((one) => one[key]);
    const low = Math.min(...values);
    return [low, Math.max(...values) - low || 1];
  };
  const [left, width] = range("x");
  const [top, height] = range("y");
  return new Map(places.map((one) => [one.name, { x: (one.x - left) / width, y: (one.y - top) / height }]));
}
