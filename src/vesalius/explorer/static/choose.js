// @ts-check
// Which images are shown, and in which order.

import { judge } from "./judge.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").Judged} Judged */

/** Judge every image by the answer that is looked at. @param {Table} table @param {State} state @returns {Judged[]} */
export function judgeAll(table, state) {
  const answer = table.answers[state.answer];
  if (!answer) return [];
  return table.ids.map((_, row) => judge(answer, row, state.klass, state.threshold));
}

/** The rows that pass all filters but the verdict.
 * @param {Table} table @param {Judged[]} judged @param {State} state @returns {number[]} */
export function passing(table, judged, state) {
  const tests = [...columnTests(table, state)];
  const range = state.scores;
  if (range && judged.length) tests.push((/** @type {number} */ row) => within(judged[row].score, range));
  if (state.onlySelected) tests.push((/** @type {number} */ row) => state.selected.has(row));
  const rows = [];
  for (let row = 0; row < table.ids.length; row++) if (tests.every((test) => test(row))) rows.push(row);
  return rows;
}

/** @param {Table} table @param {State} state @returns {Generator<(row: number) => boolean>} */
function* columnTests(table, state) {
  for (const column of table.columns) {
    const wanted = state.categories.get(column.key);
    if (wanted?.size) yield (row) => wanted.has(column.values[row]);
    const range = state.ranges.get(column.key);
    if (range) yield (row) => within(column.values[row], range);
  }
}

/** @param {number | null} value @param {[number, number]} range */
const within = (value, [from, to]) => value !== null && value >= from && value <= to;

/** The rows that are shown, in their order: those of the verdict, sorted.
 * @param {number[]} rows @param {Judged[]} judged @param {State} state @returns {number[]} */
export function shown(rows, judged, state) {
  if (!judged.length) return rows;
  let found = rows;
  if (state.verdict !== "all") found = rows.filter((row) => judged[row].verdict === state.verdict);
  const by = ORDERS[state.order];
  if (!by) return found;
  const keys = new Map(found.map((row) => [row, by(judged[row])]));
  return [...found].sort((one, other) => {
    const [a, b] = [keys.get(one) ?? null, keys.get(other) ?? null];
    if (a === null || b === null) return Number(a === null) - Number(b === null) || one - other; // unknown ones last
    return a - b || one - other;
  });
}

/** @type {Record<import("./types").Order, ((judged: Judged) => number | null) | null>} */
const ORDERS = {
  stored: null,
  worst: (judged) => (judged.error === null ? null : -judged.error),
  best: (judged) => judged.error,
  highest: (judged) => (judged.score === null ? null : -judged.score),
  lowest: (judged) => judged.score,
};
