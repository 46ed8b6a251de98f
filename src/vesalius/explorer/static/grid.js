// @ts-check
// Thousands of small pictures, of which only those in sight are in the page.

import { thumbnail } from "./server.js";
import { make } from "./dom.js";

const GAP = 8;
const CAPTION = 22;
const BEYOND = 3; // rows kept above and below what is in sight
const SETTLED = 90; // milliseconds without scrolling after which pictures are asked for

/** @typedef {{ caption: string, sign: string, tone: string, words: string }} Told */

export class Grid {
  /** @param {HTMLElement} place The element with role `grid`.
   *  @param {{ tell: (row: number) => Told, open: (index: number) => void, select: (rows: number[], on: boolean) => void,
   *            isSelected: (row: number) => boolean }} ask */
  constructor(place, ask) {
    this.place = place;
    this.ask = ask;
    /** @type {number[]} */
    this.rows = [];
    this.side = 128;
    this.focused = 0;
    this.anchor = 0;
    this.columns = 1;
    this.moved = 0;
    /** @type {Map<number, HTMLElement>} */
    this.lines = new Map();
    this.canvas = make("div", { class: "lines", role: "presentation" });
    place.append(this.canvas);
    place.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    place.addEventListener("keydown", (event) => this.#onKey(event));
    place.addEventListener("click", (event) => this.#onClick(event));
    new ResizeObserver(() => this.#onResize()).observe(place);
  }

  /** Show other rows. @param {number[]} rows @param {number} side */
  show(rows, side) {
    const held = this.rows[this.focused];
    this.rows = rows;
    this.side = side;
    const place = rows.indexOf(held);
    this.focused = place < 0 ? 0 : place;
    this.anchor = this.focused;
    if (place < 0) this.place.scrollTop = 0;
    this.layout();
  }

  /** Lay all out anew, after a change of rows, size or window. */
  layout() {
    const focused = this.place.contains(document.activeElement);
    this.columns = this.#fitting();
    this.height = this.side + CAPTION + GAP;
    const lines = Math.ceil(this.rows.length / this.columns);
    this.canvas.style.height = `${lines * this.height + GAP}px`;
    this.place.setAttribute("aria-rowcount", String(lines));
    this.place.setAttribute("aria-colcount", String(this.columns));
    for (const line of this.lines.values()) line.remove();
    this.lines.clear();
    this.#draw(true);
    if (focused) this.focus(this.focused);
  }

  /** How many pictures stand in a line. */
  #fitting() {
    return Math.max(1, Math.floor((this.place.clientWidth - GAP) / (this.side + GAP)));
  }

  #onResize() {
    if (this.#fitting() === this.columns) this.#draw(true);
    else this.layout();
  }

  /** Tell every picture in sight anew: its caption and whether it is selected. */
  retell() {
    for (const tile of this.canvas.querySelectorAll(".tile")) this.#tell(/** @type {HTMLElement} */ (tile));
  }

  /** Bring a picture into sight and give it the focus. @param {number} index */
  focus(index) {
    this.focused = Math.max(0, Math.min(index, this.rows.length - 1));
    const top = Math.floor(this.focused / this.columns) * (this.height ?? 1);
    const bottom = top + (this.height ?? 1) + GAP;
    if (top < this.place.scrollTop) this.place.scrollTop = top;
    else if (bottom > this.place.scrollTop + this.place.clientHeight) this.place.scrollTop = bottom - this.place.clientHeight;
    this.#draw(true);
    for (const tile of this.canvas.querySelectorAll(".tile[tabindex='0']")) tile.setAttribute("tabindex", "-1");
    const tile = this.#tile(this.focused);
    tile?.setAttribute("tabindex", "0");
    tile?.focus({ preventScroll: true });
  }

  #onScroll() {
    window.clearTimeout(this.moved);
    this.moved = window.setTimeout(() => this.#ask(), SETTLED);
    if (!this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => {
        this.drawing = false;
        this.#draw(false);
      });
    }
  }

  /** @param {boolean} settled Ask for pictures at once. */
  #draw(settled) {
    const height = this.height ?? 1;
    const lines = Math.ceil(this.rows.length / this.columns);
    const first = Math.max(0, Math.floor(this.place.scrollTop / height) - BEYOND);
    const last = Math.min(lines - 1, Math.ceil((this.place.scrollTop + this.place.clientHeight) / height) + BEYOND);
    for (const [number, line] of this.lines) {
      if (number >= first && number <= last) continue;
      if (line.contains(document.activeElement)) continue; // whoever has the focus stays in the page
      line.remove();
      this.lines.delete(number);
    }
    for (let number = first; number <= last; number++) if (!this.lines.has(number)) this.#line(number);
    if (settled) this.#ask();
  }

  /** @param {number} number */
  #line(number) {
    const line = make("div", { role: "row", class: "line", "aria-rowindex": number + 1 });
    line.style.transform = `translateY(${number * (this.height ?? 1) + GAP}px)`;
    const start = number * this.columns;
    for (let index = start; index < Math.min(start + this.columns, this.rows.length); index++) {
      const picture = make("img", { alt: "", width: this.side, height: this.side, decoding: "async" });
      const tile = make("div", {
        role: "gridcell",
        class: "tile",
        "aria-colindex": index - start + 1,
        "data-index": index,
        tabindex: index === this.focused ? 0 : -1,
      }, picture, make("span", { class: "caption" }));
      tile.style.width = `${this.side}px`;
      this.#tell(tile);
      line.append(tile);
    }
    this.lines.set(number, line);
    this.canvas.append(line);
  }

  /** @param {HTMLElement} tile */
  #tell(tile) {
    const row = this.rows[Number(tile.dataset.index)];
    const told = this.ask.tell(row);
    const selected = this.ask.isSelected(row);
    tile.className = `tile ${told.tone}${selected ? " selected" : ""}`;
    tile.setAttribute("aria-selected", String(selected));
    tile.setAttribute("aria-label", told.words);
    const caption = /** @type {HTMLElement} */ (tile.querySelector(".caption"));
    caption.textContent = `${told.sign} ${told.caption}`.trim();
  }

  /** Ask for the pictures of all lines that are in the page. */
  #ask() {
    for (const line of this.lines.values()) {
      for (const tile of /** @type {Iterable<HTMLElement>} */ (line.children)) {
        const picture = /** @type {HTMLImageElement} */ (tile.firstElementChild);
        if (!picture.src) picture.src = thumbnail(this.side, this.rows[Number(tile.dataset.index)]);
      }
    }
  }

  /** @param {number} index @returns {HTMLElement | null} */
  #tile(index) {
    return this.canvas.querySelector(`.tile[data-index="${index}"]`);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const tile = /** @type {Element} */ (event.target).closest(".tile");
    if (!(tile instanceof HTMLElement)) return;
    const index = Number(tile.dataset.index);
    this.focus(index);
    if (event.shiftKey) return this.#selectTo(index);
    this.anchor = index;
    if (event.ctrlKey || event.metaKey) this.#toggle(index);
    else this.ask.open(index);
  }

  /** @param {number} index */
  #toggle(index) {
    this.ask.select([this.rows[index]], !this.ask.isSelected(this.rows[index]));
  }

  /** @param {number} index */
  #selectTo(index) {
    const [from, to] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
    this.ask.select(this.rows.slice(from, to + 1), true);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!this.rows.length) return;
    const page = Math.max(1, Math.floor(this.place.clientHeight / (this.height ?? 1))) * this.columns;
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page,
      Home: -this.rows.length, End: this.rows.length,
    };
    if (event.key === "Enter") this.ask.open(this.focused);
    else if (event.key === " ") this.#toggle(this.focused);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) this.ask.select(this.rows, true);
    else if (event.key in steps) {
      const next = Math.max(0, Math.min(this.focused + steps[event.key], this.rows.length - 1));
      if (event.shiftKey) this.#selectTo(next);
      else this.anchor = next;
      this.focus(next);
    } else return;
    event.preventDefault();
  }
}
