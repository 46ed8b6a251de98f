// @ts-check
// The left side: what a run said, who was right, and filters by split and label.

import { count, fresh, make } from "./dom.js";
import { allTogether, firstClass, hasThreshold, VERDICTS, verdictsOf } from "./judge.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Column} Column */
/** @typedef {import("./types").Order} Order */
/** @typedef {import("./types").VerdictName} VerdictName */

const MOST_CLASSES = 24;

/** @type {[Order, string, boolean][]} Order, words, whether it needs an answer. */
const ORDERS = [
  ["stored", "as stored", false],
  ["worst", "worst answers first", true],
  ["best", "best answers first", true],
  ["highest", "highest score first", true],
  ["lowest", "lowest score first", true],
];

export class Filters {
  /** @param {HTMLElement} place @param {About} about @param {Table} table @param {State} state
   *  @param {(what: "answer" | "filter") => void} changed */
  constructor(place, about, table, state, changed) {
    this.about = about;
    this.table = table;
    this.state = state;
    this.changed = changed;
    this.answers = make("div", { class: "group" });
    this.verdicts = make("div", { class: "group", role: "group", "aria-label": "Who was right" });
    place.replaceChildren(
      make("h2", {}, "What a run said"),
      table.answers.length ? this.#answerSelect() : make("p", { class: "quiet" },
        "No evaluation of these runs says anything of single images of this store. ",
        make("code", {}, "vesalius evaluate RUN --data STORE --label LABEL"), " makes one."),
      this.answers,
      this.verdicts,
      make("h2", {}, "Split and labels"),
      ...table.columns.map((column) => this.#column(column)),
      make("button", { type: "button", class: "wide", click: () => this.#clear() }, "Take all filters away"),
      table.left_out < 1 ? "" : make("p", { class: "quiet" }, `${count(table.left_out, "label")} left out that may name patients; `,
        make("code", {}, "--text-labels"), " shows them."),
      ...table.problems.map((words) => make("p", { class: "problem" }, words)),
    );
    this.#ofAnswer();
  }

  /** Count the verdicts among the images that pass the other filters. @param {Map<VerdictName | "all", number>} counts */
  count(counts) {
    for (const button of this.verdicts.querySelectorAll("button")) {
      const name = /** @type {VerdictName | "all"} */ (button.dataset.verdict);
      button.setAttribute("aria-pressed", String(name === this.state.verdict));
      const shown = button.querySelector(".number");
      if (shown) shown.textContent = (counts.get(name) ?? 0).toLocaleString("en");
    }
  }

  #answerSelect() {
    const id = fresh("answer");
    const select = make("select", { id, change: () => this.#choose(Number(select.value)) });
    for (const [number, run] of this.about.runs.entries()) {
      const own = this.table.answers.map((answer, place) => ({ answer, place })).filter((one) => one.answer.run === number);
      if (own.length)
        select.append(make("optgroup", { label: run.name }, ...own.map(({ answer, place }) =>
          make("option", { value: place, selected: place === this.state.answer, title: answer.evaluation }, answer.title))));
    }
    return make("div", { class: "group" }, make("label", { for: id, class: "hidden" }, "Evaluation"), select);
  }

  /** @param {number} number */
  #choose(number) {
    this.state.answer = number;
    this.state.klass = firstClass(this.table.answers[number]);
    this.state.verdict = "all";
    this.state.scores = null;
    this.state.threshold = 0.5;
    this.#ofAnswer();
    this.changed("answer");
  }

  /** Draw what belongs to the answer that is looked at: its class, threshold, verdicts and orders. */
  #ofAnswer() {
    const answer = this.table.answers[this.state.answer];
    this.answers.replaceChildren();
    this.verdicts.replaceChildren();
    if (answer && this.about.runs.length > 1) this.answers.append(make("p", { class: "quiet" }, `of ${this.about.runs[answer.run].name}`));
    if (answer?.kind === "classes" && (answer.classes ?? []).length > 1) this.answers.append(this.#classSelect());
    if (answer?.kind === "classes" && hasThreshold(answer)) this.answers.append(this.#threshold());
    this.answers.append(this.#orderSelect());
    if (!answer) return;
    this.answers.append(make("p", {}, "Score"), this.#ends(0, 1, (range) => (this.state.scores = range)),
      ...answer.notes.map((words) => make("p", { class: "quiet" }, words)));
    this.#ofClass();
  }

  /** Draw the verdicts that there can be of the class that is looked at. */
  #ofClass() {
    const answer = this.table.answers[this.state.answer];
    this.verdicts.replaceChildren();
    const verdicts = verdictsOf(answer, this.state.klass);
    if (verdicts.length) this.verdicts.append(this.#verdict("all", "", "All", ""));
    for (const name of verdicts) {
      const { sign, words, plain } = VERDICTS[name];
      this.verdicts.append(this.#verdict(name, sign, words, plain));
    }
  }

  /** @param {VerdictName | "all"} name @param {string} sign @param {string} words @param {string} plain */
  #verdict(name, sign, words, plain) {
    const press = () => {
      this.state.verdict = name;
      if (name !== "all" && name !== "right") this.#order("worst");
      this.changed("filter");
    };
    return make("button", { type: "button", class: `verdict ${name}`, "data-verdict": name, click: press },
      make("span", { class: "sign", "aria-hidden": "true" }, sign), make("span", {}, words, plain && make("small", {}, plain)),
      make("span", { class: "number" }));
  }

  #classSelect() {
    const answer = this.table.answers[this.state.answer];
    const id = fresh("class");
    const select = make("select", { id, change: () => {
      this.state.klass = Number(select.value);
      this.state.verdict = "all";
      this.#ofClass();
      this.changed("answer");
    } });
    if (allTogether(answer)) select.append(make("option", { value: -1, selected: this.state.klass < 0 }, "all classes"));
    for (const [number, name] of (answer.classes ?? []).entries())
      select.append(make("option", { value: number, selected: number === this.state.klass }, name));
    return make("p", {}, make("label", { for: id }, "Looked for"), select);
  }

  #threshold() {
    const id = fresh("threshold");
    const told = make("output", { for: id }, this.state.threshold.toFixed(2));
    const input = make("input", { id, type: "range", min: 0, max: 1, step: 0.01, value: this.state.threshold, input: () => {
      this.state.threshold = Number(input.value);
      told.textContent = this.state.threshold.toFixed(2);
      this.changed("answer");
    } });
    return make("p", {}, make("label", { for: id }, "Said from a score of ", told), input);
  }

  #orderSelect() {
    const id = fresh("order");
    const has = this.state.answer >= 0;
    if (!has) this.state.order = "stored";
    const select = make("select", { id, change: () => {
      this.state.order = /** @type {Order} */ (select.value);
      this.changed("filter");
    } });
    this.orders = select;
    for (const [name, words, needs] of ORDERS)
      if (has || !needs) select.append(make("option", { value: name, selected: name === this.state.order }, words));
    return make("p", {}, make("label", { for: id }, "Order"), select);
  }

  /** @param {Order} order */
  #order(order) {
    this.state.order = order;
    if (this.orders) this.orders.value = order;
  }

  /** @param {Column} column */
  #column(column) {
    const content = column.kind === "number" ? this.#range(column)
      : (column.classes ?? []).length > MOST_CLASSES ? this.#search(column) : this.#boxes(column);
    return make("details", { class: "column", open: column.key === "split" },
      make("summary", { title: column.about ?? "" }, column.title), content);
  }

  /** @param {Column} column */
  #boxes(column) {
    const counts = new Map();
    for (const value of column.values) counts.set(value, (counts.get(value) ?? 0) + 1);
    /** @type {(number | null)[]} */
    const values = [...(column.classes ?? []).keys(), null].filter((value) => counts.has(value));
    const set = new Set();
    this.state.categories.set(column.key, set);
    return make("fieldset", {}, make("legend", { class: "hidden" }, column.title), ...values.map((value) => {
      const words = value === null ? "not known" : column.classes?.[value] ?? String(value);
      const box = make("input", { type: "checkbox", change: () => {
        if (box.checked) set.add(value);
        else set.delete(value);
        this.changed("filter");
      } });
      return make("label", { class: "box" }, box, make("span", {}, words),
        make("span", { class: "number" }, counts.get(value).toLocaleString("en")));
    }));
  }

  /** @param {Column} column */
  #search(column) {
    const id = fresh("search");
    const input = make("input", { id, type: "search", input: () => {
      const word = input.value.trim().toLowerCase();
      const found = (column.classes ?? []).flatMap((name, place) => (name.toLowerCase().includes(word) ? [place] : []));
      this.state.categories.set(column.key, new Set(!word ? [] : found.length ? found : [-1]));
      this.changed("filter");
    } });
    return make("p", {}, make("label", { for: id }, "contains"), input);
  }

  /** @param {Column} column */
  #range(column) {
    const known = /** @type {number[]} */ (column.values.filter((value) => value !== null));
    if (!known.length) return make("p", { class: "quiet" }, "not known of any image");
    const [low, high] = known.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
    return this.#ends(low, high, (range) => {
      if (range) this.state.ranges.set(column.key, range);
      else this.state.ranges.delete(column.key);
    });
  }

  /** Two fields, from and to; an empty one sets no limit.
   * @param {number} low @param {number} high @param {(range: [number, number] | null) => void} set */
  #ends(low, high, set) {
    const ends = [low, high].map((value) => make("input", { type: "number", step: "any", placeholder: value, input: () => {
      const [from, to] = ends.map((end) => end.value);
      set(from === "" && to === "" ? null : [from === "" ? -Infinity : Number(from), to === "" ? Infinity : Number(to)]);
      this.changed("filter");
    } }));
    return make("p", { class: "range" }, make("label", {}, "from ", ends[0]), make("label", {}, "to ", ends[1]));
  }

  #clear() {
    for (const set of this.state.categories.values()) set.clear();
    this.state.ranges.clear();
    this.state.scores = null;
    this.state.verdict = "all";
    this.state.onlySelected = false;
    for (const input of document.querySelectorAll("#filters .column input, #filters .range input")) {
      const one = /** @type {HTMLInputElement} */ (input);
      if (one.type === "checkbox") one.checked = false;
      else one.value = "";
    }
    this.changed("filter");
  }
}

/** The line over the grid. @param {number} shown @param {number} all */
export const countWords = (shown, all) => (shown === all ? count(all, "image") : `${shown.toLocaleString("en")} of ${count(all, "image")}`);
