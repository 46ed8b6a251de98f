// @ts-check
// Who was right: what an evaluation said of an image, beside what is true.

/** @typedef {import("./types").Answer} Answer */
/** @typedef {import("./types").Judged} Judged */
/** @typedef {import("./types").State} State */
/** @typedef {import("./types").VerdictName} VerdictName */

/** @type {Record<VerdictName, { words: string, plain: string, sign: string }>} */
export const VERDICTS = {
  missed: { words: "Missed", plain: "false negatives", sign: "−" },
  "false-alarm": { words: "False alarms", plain: "false positives", sign: "+" },
  wrong: { words: "Wrong", plain: "another class was said", sign: "×" },
  right: { words: "Right", plain: "as the label says", sign: "✓" },
};

/** Judge one image.
 * @param {Answer} answer @param {number} row
 * @param {number} klass The class looked at, or -1 for all of them.
 * @param {number} threshold From which score on a class is said; only where `hasThreshold`.
 * @returns {Judged} */
export function judge(answer, row, klass, threshold) {
  if (answer.kind === "number") {
    const value = answer.values?.[row] ?? null;
    return { verdict: null, score: value, error: value === null ? null : 1 - value };
  }
  const scores = answer.scores ?? [];
  if (klass < 0) return judgeAll(answer, row);
  const score = scores[klass]?.[row] ?? null;
  const own = answer.several ? lists(answer)[klass]?.[row] : flat(answer)[row];
  if (score === null || own === null || own === undefined) return { verdict: null, score, error: null };
  const is = answer.several ? own === 1 : own === klass;
  const said = hasThreshold(answer) ? score >= threshold : mostLikely(answer, row) === klass;
  const verdict = is === said ? "right" : is ? "missed" : "false-alarm";
  return { verdict, score, error: is ? 1 - score : score };
}

/** @param {Answer} answer @param {number} row @returns {Judged} */
function judgeAll(answer, row) {
  const own = flat(answer)[row];
  if (own === null || own === undefined) return { verdict: null, score: null, error: null };
  const score = answer.scores?.[own]?.[row] ?? null;
  if (score === null) return { verdict: null, score, error: null };
  return { verdict: mostLikely(answer, row) === own ? "right" : "wrong", score, error: 1 - score };
}

/** Say whether a class is said from a score on, rather than where it is the most likely one. @param {Answer} answer */
export const hasThreshold = (answer) => Boolean(answer.several) || answer.classes?.length === 2;

/** The class that is looked at first. @param {Answer | undefined} answer */
export function firstClass(answer) {
  if (!answer || answer.kind === "number") return -1;
  if (answer.several) return 0;
  return answer.classes?.length === 2 ? 1 : -1;
}

/** Whether all classes can be looked at together. @param {Answer} answer */
export const allTogether = (answer) => !answer.several && (answer.classes?.length ?? 0) > 2;

/** The verdicts that there can be. @param {Answer} answer @param {number} klass @returns {VerdictName[]} */
export function verdictsOf(answer, klass) {
  if (answer.kind === "number") return [];
  return klass < 0 ? ["wrong", "right"] : ["missed", "false-alarm", "right"];
}

/** The class with the highest score. @param {Answer} answer @param {number} row */
export function mostLikely(answer, row) {
  let best = -1;
  let highest = -Infinity;
  for (const [number, column] of (answer.scores ?? []).entries()) {
    const score = column[row];
    if (score !== null && score > highest) [best, highest] = [number, score];
  }
  return best;
}

/** The truth of an image in words. @param {Answer} answer @param {number} row */
export function truthWords(answer, row) {
  const classes = answer.classes ?? [];
  if (answer.several) {
    const own = classes.map((name, number) => ({ name, is: truthOf(answer, number, row) }));
    const yes = own.filter((one) => one.is === 1).map((one) => one.name).join(", ") || "none";
    const unknown = own.filter((one) => one.is === null).map((one) => one.name).join(", ");
    return unknown ? `${yes}; not known: ${unknown}` : yes;
  }
  const own = flat(answer)[row];
  return own === null || own === undefined ? "not known" : classes[own];
}

/** Of several: 1, 0, or null where a class is not known of an image. @param {Answer} answer @param {number} klass @param {number} row */
export const truthOf = (answer, klass, row) => lists(answer)[klass]?.[row] ?? null;

/** @param {Answer} answer */
const flat = (answer) => /** @type {(number | null)[]} */ (answer.truth ?? []);

/** @param {Answer} answer */
const lists = (answer) => /** @type {(number | null)[][]} */ (answer.truth ?? []);
