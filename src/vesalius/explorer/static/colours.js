// @ts-check
// Colours of the points on the map: by a class, or by a number.

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d1f", "#7a5195", "#3d6b35", "#a33f00"];
const OTHER = "#4b4f54";
export const UNKNOWN = "#9aa3ad";

/** A colour a class: the most frequent ones have their own. @param {import("./types").Column} column
 * @returns {{ colours: (row: number) => string, legend: [string, string][] }} */
export function classes(column) {
  /** @type {Map<number | null, number>} */
  const counts = new Map();
  for (const value of column.values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const known = [...counts.keys()].filter((value) => value !== null);
  const often = known.sort((one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0)).slice(0, COLOURS.length);
  const own = new Map(often.sort((one, other) => one - other).map((value, place) => [value, COLOURS[place]]));
  /** @type {[string, string][]} */
  const legend = [...own].map(([value, colour]) => [column.classes?.[value] ?? String(value), colour]);
  if (known.length > often.length) legend.push(["other", OTHER]);
  if (counts.has(null)) legend.push(["not known", UNKNOWN]);
  return {
    colours: (row) => {
      const value = column.values[row];
      return value === null ? UNKNOWN : own.get(value) ?? OTHER;
    },
    legend,
  };
}

/** Light to dark by a number. @param {(number | null)[]} values
 * @returns {{ colours: (row: number) => string, legend: [string, string][] }} */
export function shades(values) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null));
  const [low, high] = known.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
  const shade = (/** @type {number} */ share) => `hsl(210 70% ${80 - 58 * share}%)`;
  return {
    colours: (row) => (values[row] === null || values[row] === undefined ? UNKNOWN : shade((/** @type {number} */ (values[row]) - low) / Math.max(1e-9, high - low))),
    legend: known.length ? [[String(low), shade(0)], [String(high), shade(1)]] : [],
  };
}
