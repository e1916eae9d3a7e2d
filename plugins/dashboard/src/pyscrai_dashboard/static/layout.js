// Where the nodes of a network are drawn. The same network is always drawn in the same way.
//
// Forces as in Fruchterman and Reingold 1991, "Graph drawing by force-directed placement": nodes repel each
// other, edges attract, and the largest step becomes smaller until nothing moves.

const ROUNDS = 200;
const MOST_FORCED = 150; // nodes; larger networks stay on their circle

/** Positions by name, from 0 to 1 in both directions. `edges` are `{from, to, weight}`. */
export function place(names, edges) {
  const n = names.length;
  const spots = names.map((_, at) => ({
    x: 0.5 + 0.4 * Math.cos((2 * Math.PI * at) / n - Math.PI / 2),
    y: 0.5 + 0.4 * Math.sin((2 * Math.PI * at) / n - Math.PI / 2),
  }));
  const at = new Map(names.map((name, index) => [name, index]));
  const links = edges
    .map((edge) => [at.get(edge.from), at.get(edge.to)])
    .filter(([a, b]) => a !== undefined && b !== undefined && a !== b);
  if (n > 2 && n <= MOST_FORCED) {
    const ideal = Math.sqrt(0.6 / n);
    for (let round = 0; round < ROUNDS; round += 1) push(spots, links, ideal, 0.1 * (1 - round / ROUNDS));
  }
  return new Map(fitted(spots).map((spot, index) => [names[index], spot]));
}

function push(spots, links, ideal, most) {
  const moves = spots.map(() => ({ x: 0, y: 0 }));
  const apply = (a, b, force) => {
    const dx = spots[a].x - spots[b].x || 1e-4 * (a - b);
    const dy = spots[a].y - spots[b].y || 1e-4;
    const far = Math.hypot(dx, dy);
    const size = force(far) / far;
    moves[a].x += dx * size;
    moves[a].y += dy * size;
    moves[b].x -= dx * size;
    moves[b].y -= dy * size;
  };
  for (let a = 0; a < spots.length; a += 1) {
    for (let b = a + 1; b < spots.length; b += 1) apply(a, b, (far) => ideal ** 2 / far);
  }
  for (const [a, b] of links) apply(a, b, (far) => -(far ** 2) / ideal);
  spots.forEach((spot, index) => {
    const move = moves[index];
    move.x += (0.5 - spot.x) * 0.6; // parts that nothing connects stay near
    move.y += (0.5 - spot.y) * 0.6;
    const size = Math.hypot(move.x, move.y) || 1;
    spot.x += (move.x / size) * Math.min(size, most);
    spot.y += (move.y / size) * Math.min(size, most);
  });
}

/** Stretched to fill the square; where all are the same, in its middle. */
function fitted(spots) {
  const scale = (key) => {
    const values = spots.map((spot) => spot[key]);
    const low = Math.min(...values);
    const range = Math.max(...values) - low;
    return (value) => (range < 1e-6 ? 0.5 : (value - low) / range);
  };
  const [x, y] = [scale("x"), scale("y")];
  return spots.map((spot) => ({ x: x(spot.x), y: y(spot.y) }));
}
