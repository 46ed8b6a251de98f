// @ts-check
// All images as points: near ones look alike to a run. A lasso selects; arrows walk, Enter opens, space selects.

import { classes, shades, UNKNOWN } from "./colours.js";
import { fresh, make } from "./dom.js";
import { VERDICTS } from "./judge.js";
import { inside, scaled } from "./places.js";
import { readPlaces, thumbnail } from "./server.js";

/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Judged} Judged */

const FAINT = "#dde1e5";
const MOVED = 8; // pixels from which on a press draws a lasso
const NEAR = 12; // pixels within which a point is meant

export class PlacesMap {
  /** @param {HTMLElement} place @param {About} about @param {Table} table @param {State} state
   *  @param {{ rows: () => number[], judged: () => Judged[], open: (row: number) => void,
   *            select: (rows: number[]) => void, failed: (error: unknown) => void }} ask */
  constructor(place, about, table, state, ask) {
    this.place = place;
    this.about = about;
    this.table = table;
    this.state = state;
    this.ask = ask;
    this.run = 0;
    this.by = state.answer >= 0 ? "verdict" : table.columns[0].key;
    this.at = -1;
    /** @type {Map<number, Float32Array>} */
    this.places = new Map();
    /** @type {[number, number][]} */
    this.lasso = [];
    this.hinted = -1;
    this.canvas = this.#plot();
    this.base = document.createElement("canvas"); // all points, drawn once; the lasso moves above them
    this.legend = make("ul", { class: "legend" });
    this.hint = make("div", { class: "hint", role: "status" });
    this.words = make("p", { class: "quiet" });
    this.#build();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  #plot() {
    return make("canvas", {
      tabindex: 0, role: "application",
      "aria-label": "Map of all images. Drag to select. Arrows go from point to point, Enter opens, space selects.",
      pointerdown: (/** @type {PointerEvent} */ event) => this.#down(event),
      pointermove: (/** @type {PointerEvent} */ event) => this.#move(event),
      pointerup: (/** @type {PointerEvent} */ event) => this.#up(event),
      pointerleave: () => this.#hint(-1),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
  }

  #build() {
    const [run, by] = [fresh("map-run"), fresh("map-by")];
    const runs = make("select", { id: run, change: () => {
      this.run = Number(runs.value);
      this.load();
    } }, ...this.about.runs.map((one, number) => make("option", { value: number }, one.name)));
    const colour = make("select", { id: by, change: () => {
      this.by = colour.value;
      this.draw();
    } }, ...(this.table.answers.length ? [make("option", { value: "verdict" }, "what the run said")] : []),
    ...this.table.columns.map((column) => make("option", { value: column.key, selected: column.key === this.by }, column.title)));
    this.place.replaceChildren(
      make("div", { class: "map-controls" }, make("label", { for: run }, "Seen by"), runs, make("label", { for: by }, "Colour"), colour),
      make("div", { class: "plot" }, this.canvas, this.hint), this.legend, this.words);
  }

  /** Read the places of the run and draw. */
  async load() {
    try {
      if (!this.places.has(this.run)) this.places.set(this.run, scaled((await readPlaces(this.run)).data));
      this.draw();
    } catch (error) {
      this.ask.failed(error);
    }
  }

  /** Draw all anew: points, legend and words. */
  draw() {
    const { canvas, base } = this;
    if (!this.places.has(this.run) || !canvas.clientWidth) return;
    const scale = window.devicePixelRatio || 1;
    for (const one of [canvas, base]) [one.width, one.height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    const context = /** @type {CanvasRenderingContext2D} */ (base.getContext("2d"));
    context.scale(scale, scale);
    const shown = new Set(this.ask.rows());
    const { colours, legend } = this.#colours();
    const size = this.#size();
    context.fillStyle = FAINT;
    for (let row = 0; row < this.table.ids.length; row++) if (!shown.has(row)) this.#point(context, row, size * 0.6);
    const drawn = [...shown].map((row) => /** @type {[number, string]} */ ([row, colours(row)]));
    for (const known of [false, true]) // those of which nothing is known lie below
      for (const [row, colour] of drawn) {
        if ((colour !== UNKNOWN) !== known) continue;
        context.fillStyle = colour;
        this.#point(context, row, size);
      }
    this.legend.replaceChildren(...legend.map(([words, colour]) => {
      const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = colour;
      return make("li", {}, swatch, words);
    }));
    this.#tell();
    this.#over();
  }

  /** Draw what moves over the points: the selection, where the keys are, the lasso. */
  #over() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const scale = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.base, 0, 0);
    context.scale(scale, scale);
    context.strokeStyle = "#111";
    context.lineWidth = 1.5;
    for (const row of this.state.selected) this.#ring(context, row, this.#size() + 1);
    context.lineWidth = 3;
    if (this.at >= 0) this.#ring(context, this.at, this.#size() + 5);
    context.lineWidth = 1.5;
    this.#lassoLine(context);
  }

  #size() {
    return Math.max(2, Math.min(5, 160 / Math.sqrt(this.table.ids.length)));
  }

  #tell() {
    const answer = this.table.answers[this.state.answer];
    const whose = this.by === "verdict" && answer ? `Colours: ${answer.title}, of ${this.about.runs[answer.run].name}. ` : "";
    const how = this.about.runs[this.run].map === "umap"
      ? "UMAP by cosine, 15 neighbours. Near points look alike to the run; how far groups lie apart says little."
      : "The two directions in which the features differ most (PCA).";
    this.words.textContent = `${whose}${how} Palest: not shown in the grid.`;
  }

  /** @returns {{ colours: (row: number) => string, legend: [string, string][] }} */
  #colours() {
    if (this.by === "verdict" && this.table.answers[this.state.answer]?.kind === "number")
      return shades(this.ask.judged().map((one) => one.score));
    if (this.by === "verdict") {
      const judged = this.ask.judged();
      /** @type {Record<string, string>} */
      const of = { right: "#0072b2", wrong: "#d55e00", missed: "#d55e00", "false-alarm": "#e69f00" };
      const there = /** @type {(keyof typeof VERDICTS)[]} */ (Object.keys(VERDICTS)).filter((name) => judged.some((one) => one.verdict === name));
      return {
        colours: (row) => of[judged[row]?.verdict ?? ""] ?? UNKNOWN,
        legend: [...there.map((name) => /** @type {[string, string]} */ ([VERDICTS[name].words, of[name]])), ["not scored", UNKNOWN]],
      };
    }
    const column = this.table.columns.find((one) => one.key === this.by) ?? this.table.columns[0];
    if (column.kind === "category") return classes(column);
    return shades(column.values);
  }

  /** Where a row lies, in pixels of the page. @param {number} row @returns {[number, number]} */
  #xy(row) {
    const places = /** @type {Float32Array} */ (this.places.get(this.run));
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    return [16 + places[row * 2] * (width - 32), 16 + places[row * 2 + 1] * (height - 32)];
  }

  /** @param {CanvasRenderingContext2D} context @param {number} row @param {number} size */
  #point(context, row, size) {
    const [x, y] = this.#xy(row);
    context.fillRect(x - size / 2, y - size / 2, size, size);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} row @param {number} size */
  #ring(context, row, size) {
    const [x, y] = this.#xy(row);
    context.strokeRect(x - size / 2, y - size / 2, size, size);
  }

  /** @param {CanvasRenderingContext2D} context */
  #lassoLine(context) {
    if (this.lasso.length < 2) return;
    context.beginPath();
    for (const [x, y] of this.lasso) context.lineTo(x, y);
    context.closePath();
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = "rgba(0, 90, 148, .08)";
    context.fill();
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  #of(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** The shown point nearest to a place. @param {number} x @param {number} y @param {number} within */
  #nearest(x, y, within) {
    let [best, least] = [-1, within * within];
    for (const row of this.ask.rows()) {
      const [a, b] = this.#xy(row);
      const far = (a - x) ** 2 + (b - y) ** 2;
      if (far < least) [best, least] = [row, far];
    }
    return best;
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0 || !this.places.has(this.run)) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.lasso = [this.#of(event)];
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.places.has(this.run)) return;
    const here = this.#of(event);
    if (this.lasso.length && event.buttons) {
      this.lasso.push(here);
      this.#hint(-1);
      this.#soon();
    } else this.#hint(this.#nearest(...here, NEAR));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const lasso = this.lasso;
    this.lasso = [];
    if (!lasso.length) return;
    const [x, y] = this.#of(event);
    if (lasso.some(([a, b]) => Math.hypot(a - lasso[0][0], b - lasso[0][1]) > MOVED)) this.ask.select(this.ask.rows().filter((row) => inside(this.#xy(row), lasso)));
    else {
      const row = this.#nearest(x, y, NEAR);
      if (row >= 0) this.ask.open(row);
    }
    this.draw();
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#over();
    });
  }

  /** @param {number} row */
  #hint(row) {
    if (row === this.hinted) return;
    this.hinted = row;
    this.hint.hidden = row < 0;
    if (row < 0) return;
    const [x, y] = this.#xy(row);
    const wide = this.canvas.clientWidth;
    this.hint.style.transform = `translate(${Math.min(x + 14, wide - 130)}px, ${Math.max(4, y - 130)}px)`;
    this.hint.replaceChildren(make("img", { src: thumbnail(96, row), alt: "", width: 96, height: 96 }), make("span", {}, this.table.ids[row].slice(0, 8)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const rows = this.ask.rows();
    const way = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[event.key];
    if (!rows.length || !this.places.has(this.run)) return;
    if (way) this.at = this.at < 0 ? rows[0] : this.#towards(rows, way);
    else if (event.key === "Enter" && this.at >= 0) this.ask.open(this.at);
    else if (event.key === " " && this.at >= 0) this.ask.select([this.at]);
    else return;
    event.preventDefault();
    this.#hint(this.at);
    this.#over();
  }

  /** The nearest point on that side. @param {number[]} rows @param {[number, number]} way */
  #towards(rows, [right, down]) {
    const [x, y] = this.#xy(this.at);
    let [best, least] = [this.at, Infinity];
    for (const row of rows) {
      const [a, b] = this.#xy(row);
      const [along, aside] = [(a - x) * right + (b - y) * down, Math.abs((a - x) * down) + Math.abs((b - y) * right)];
      const cost = along + 2 * aside;
      if (along > 0.5 && along >= aside && cost < least) [best, least] = [row, cost];
    }
    return best;
  }
}
