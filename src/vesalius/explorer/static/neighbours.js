// @ts-check
// The images that a run takes for most alike to one.

import { fresh, make } from "./dom.js";
import { short } from "./facts.js";
import { readNeighbours, thumbnail } from "./server.js";

/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Table} Table */

const SETTLED = 120; // milliseconds on an image after which its neighbours are asked for

export class Neighbours {
  /** @param {About} about @param {Table} table
   *  @param {{ open: (row: number) => void, failed: (error: unknown) => void }} ask */
  constructor(about, table, ask) {
    this.table = table;
    this.ask = ask;
    this.run = 0;
    this.row = 0;
    this.list = make("ul");
    const id = fresh("near");
    const select = make("select", { id, change: () => {
      this.run = Number(select.value);
      this.#read().catch((error) => this.ask.failed(error));
    } }, ...about.runs.map((one, number) => make("option", { value: number }, one.name)));
    const several = about.runs.length > 1;
    const whose = several ? make("label", { for: id }, " to ") : ` to ${about.runs[0]?.name}`;
    this.place = make("div", { class: "near" }, make("h3", {}, "Most alike", whose, several && select), this.list);
  }

  /** Show those of an image, once it is stayed at. @param {number} row @param {AbortSignal} signal */
  async show(row, signal) {
    this.row = row;
    this.signal = signal;
    this.list.replaceChildren();
    await settled(signal);
    await this.#read();
  }

  async #read() {
    const { rows, similarities } = await readNeighbours(this.run, this.row, this.signal);
    this.list.replaceChildren(...rows.map((row, place) => make("li", {}, make("button", {
      type: "button",
      "aria-label": `Image ${short(this.table, row)}, similarity ${similarities[place].toFixed(2)}`,
      click: () => this.ask.open(row),
    }, make("img", { src: thumbnail(96, row), alt: "", width: 96, height: 96 }), make("span", {}, similarities[place].toFixed(2))))));
    this.list.scrollTo(0, 0);
  }
}

/** @param {AbortSignal} signal @returns {Promise<void>} */
const settled = (signal) =>
  new Promise((go, stop) => {
    setTimeout(go, SETTLED);
    signal.addEventListener("abort", () => stop(signal.reason));
  });
