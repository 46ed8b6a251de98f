// @ts-check
// Images of a selection as a table that spreadsheets and pandas read.

import { truthOf, truthWords } from "./judge.js";

/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").Answer} Answer */

const MARK = "\ufeff"; // tells spreadsheets that the text is UTF-8; pandas passes over it

/** @param {Table} table @param {number[]} rows @param {string[]} runs @returns {string} */
export function csv(table, rows, runs) {
  const header = ["row", "image_id", ...table.columns.map((column) => (column.key === "split" ? "split" : column.title))];
  for (const answer of table.answers) {
    const name = `${runs[answer.run]} ${answer.evaluation}`;
    if (answer.kind === "number") header.push(name);
    else header.push(...truths(answer).map((one) => `${name} ${one}`), ...(answer.classes ?? []).map((one) => `${name} ${one}`));
  }
  const lines = rows.map((row) => {
    /** @type {unknown[]} */
    const cells = [row, table.ids[row]];
    for (const column of table.columns) {
      const value = column.values[row];
      cells.push(value === null ? "" : column.kind === "category" ? column.classes?.[value] : value);
    }
    for (const answer of table.answers) {
      if (answer.kind === "number") cells.push(answer.values?.[row]);
      else {
        const known = answer.scores?.[0]?.[row] !== null;
        if (answer.several) cells.push(...(answer.classes ?? []).map((_, klass) => (known ? truthOf(answer, klass, row) : null)));
        else cells.push(known ? truthWords(answer, row) : "");
        cells.push(...(answer.scores ?? []).map((column) => column[row]));
      }
    }
    return cells;
  });
  return MARK + [header, ...lines].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Columns of what is true: one, or one a class. @param {Answer} answer */
const truths = (answer) => (answer.several ? (answer.classes ?? []).map((one) => `truth ${one}`) : ["truth"]);

/** Quote what needs it; words that a spreadsheet would take for a formula are made plain. @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
