// @ts-check
// What is known of an image, and what every evaluation said of it.

import { make } from "./dom.js";
import { mostLikely, truthWords, VERDICTS } from "./judge.js";

/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").Answer} Answer */
/** @typedef {import("./types").Judged} Judged */
/** @typedef {{ answer: number, klass: number, judged: Judged | undefined }} Looked */

/** The first digits of an image's salted hash. @param {Table} table @param {number} row */
export const short = (table, row) => table.ids[row].slice(0, 8);

/** @param {About} about @param {Table} table @param {number} row
 * @param {Looked} looked The answer that is looked at, and how the image was judged by it. @returns {Node[]} */
export function facts(about, table, row, looked) {
  const known = table.columns.flatMap((column) => {
    const value = column.values[row];
    if (value === null) return [];
    const words = column.kind === "category" ? column.classes?.[value] : String(value);
    return [make("dt", {}, column.title), make("dd", {}, words ?? "")];
  });
  const said = table.answers.flatMap((answer, number) => {
    const run = about.runs.length > 1 ? `${about.runs[answer.run].name}, ` : "";
    const words = wordsOf(answer, row, number === looked.answer ? looked : null);
    return words ? [make("dt", {}, run + answer.title), make("dd", {}, ...words)] : [];
  });
  return [
    make("h3", {}, "What is known"), make("dl", {}, ...known), make("h3", {}, "What was said"),
    said.length ? make("dl", {}, ...said) : make("p", { class: "quiet" }, "Nothing: no evaluation scored this image."),
  ];
}

/** What an evaluation said; of the one that is looked at, whether that is right.
 * @param {Answer} answer @param {number} row @param {Looked | null} looked @returns {(string | Node)[] | null} */
function wordsOf(answer, row, looked) {
  if (answer.kind === "number") {
    const value = answer.values?.[row] ?? null;
    return value === null ? null : [value.toFixed(3)];
  }
  const best = mostLikely(answer, row);
  if (best < 0) return null;
  const shown = looked && looked.klass >= 0 ? looked.klass : best;
  const score = answer.scores?.[shown][row] ?? 0;
  const words = `${answer.classes?.[shown]} ${score.toFixed(2)}, labelled ${truthWords(answer, row)}`;
  const verdict = looked?.judged?.verdict;
  if (!verdict) return [words];
  return [make("span", { class: verdict === "right" ? "right" : "wrong" }, `${VERDICTS[verdict].sign} `), words];
}
