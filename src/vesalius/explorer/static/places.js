// @ts-check
// Places on the map: brought to its frame, and within a lasso or not.

/** Bring places to 0..1, the middle 99.8 % of them: a lone point far away must not press the others together.
 * @param {ArrayLike<number>} places */
export function scaled(places) {
  const found = new Float32Array(places.length);
  for (const axis of [0, 1]) {
    const own = Float32Array.from({ length: places.length / 2 }, (_, row) => places[row * 2 + axis]).sort();
    const cut = Math.floor(own.length * 0.001);
    const [low, high] = [own[cut] ?? 0, own[own.length - 1 - cut] ?? 1];
    for (let row = 0; row < own.length; row++)
      found[row * 2 + axis] = Math.min(1, Math.max(0, (places[row * 2 + axis] - low) / Math.max(1e-9, high - low)));
  }
  return found;
}

/** Whether a point lies in a polygon (even-odd). @param {[number, number]} point @param {[number, number][]} polygon */
export function inside([x, y], polygon) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}
