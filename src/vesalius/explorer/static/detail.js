// @ts-check
// One image large: every run beside the next, layers over it, its window, what is known of it, and its neighbours.

import { busy, fresh, make } from "./dom.js";
import { facts, short } from "./facts.js";
import { Neighbours } from "./neighbours.js";
import { COLOURS, heatCanvas, imageCanvas, outline, together } from "./paint.js";
import { readImage, readLayer } from "./server.js";
import { slider, WindowLevel } from "./window_level.js";

/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").Numbers} Numbers */
/** @typedef {import("./types").LayerAbout} LayerAbout */
/** @typedef {import("./types").Judged} Judged */

const OUTLINED = ["mask", "map", "prediction"];

export class Detail {
  /** @param {HTMLDialogElement} dialog @param {About} about @param {Table} table
   *  @param {{ rows: () => number[], looked: () => { answer: number, klass: number }, judged: (row: number) => Judged | undefined,
   *            closed: (index: number) => void, failed: (error: unknown) => void }} ask */
  constructor(dialog, about, table, ask) {
    this.dialog = dialog;
    this.about = about;
    this.table = table;
    this.ask = ask;
    this.row = 0;
    /** @type {Numbers | null} */
    this.image = null;
    this.heat = about.layers.findIndex((layer) => layer.kind === "attention");
    /** Parts shown of a layer's title. @type {Map<string, Set<number>>} */
    this.parts = new Map();
    /** @type {Set<string>} */
    this.outlined = new Set(about.layers.filter((layer) => layer.kind === "mask").map((layer) => layer.title));
    this.opacity = 0.6;
    this.least = 0;
    this.smooth = true;
    /** @type {Map<string, Numbers | null>} */
    this.held = new Map();
    this.title = make("h2", { id: "detail-title", tabindex: -1 });
    this.panes = make("div", { class: "panes" });
    this.canvases = about.runs.map((run) => this.#pane(run.name));
    this.known = make("div", { class: "facts" });
    this.near = new Neighbours(about, table, { open: (row) => {
      this.show(row);
      this.title.focus();
    }, failed: ask.failed });
    this.boxes = make("div", { class: "parts" });
    this.window = new WindowLevel(() => this.#paint());
    this.#build();
    dialog.addEventListener("close", () => this.ask.closed(this.ask.rows().indexOf(this.row)));
    dialog.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#paint()).observe(this.panes);
  }

  /** Show an image. @param {number} row */
  async show(row) {
    this.row = row;
    this.image = null; // nothing of one patient is shown under another's name
    this.held.clear();
    if (!this.dialog.open) this.dialog.showModal();
    this.reading?.abort();
    const { signal } = (this.reading = new AbortController());
    this.#blank();
    this.#facts();
    const image = readImage(row, signal).then((found) => {
      if (row !== this.row) return;
      this.image = found;
      this.window.tell(found);
      this.#paint();
    });
    const layers = this.#read(signal).then(() => this.#paint());
    const pictures = busy(this.panes, Promise.all([image, layers]));
    await Promise.all([pictures, this.near.show(row, signal)]).catch((error) => this.ask.failed(error));
  }

  /** Show nothing, until something of this image is there. */
  #blank() {
    for (const { canvas, note } of this.canvases) {
      canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
      canvas.setAttribute("aria-label", `Image ${short(this.table, this.row)}, being read`);
      note.textContent = "";
    }
  }

  #build() {
    const controls = make("div", { class: "controls" }, this.#heatControls(), this.#outlineControls(), this.window.place);
    const step = (/** @type {number} */ by) => () => this.#step(by);
    this.dialog.replaceChildren(
      make("div", { class: "banner", role: "alert", hidden: true }),
      make("div", { class: "bar" }, this.title,
        make("button", { type: "button", "aria-label": "Previous image", click: step(-1) }, "←"),
        make("button", { type: "button", "aria-label": "Next image", click: step(1) }, "→"),
        make("button", { type: "button", click: () => this.dialog.close() }, "Close")),
      make("div", { class: "content" }, this.panes, make("div", { class: "side" }, controls, this.known)),
      this.near.place,
    );
  }

  /** @param {string} name */
  #pane(name) {
    const canvas = make("canvas", { role: "img" });
    const note = make("figcaption");
    this.panes.append(make("figure", {}, canvas, note));
    return { canvas, note, name };
  }

  /** A part has one colour in all layers. @param {string} name */
  #colour(name) {
    const names = [...new Set(this.about.layers.filter((layer) => OUTLINED.includes(layer.kind)).flatMap((layer) => layer.parts))];
    return COLOURS[names.indexOf(name) % COLOURS.length];
  }

  /** Layers by their titles: those of several runs under one. */
  #titles() {
    return [...new Map(this.about.layers.map((layer) => [layer.title, layer])).values()];
  }

  #heatControls() {
    const id = fresh("layer");
    const titles = this.#titles();
    const chosen = this.about.layers[this.heat]?.title ?? "";
    const select = make("select", { id, change: () => {
      this.heat = this.about.layers.findIndex((layer) => layer.title === select.value);
      this.#partBoxes();
      this.#reload();
    } }, make("option", { value: "" }, "nothing"), ...titles.map((layer) =>
      make("option", { value: layer.title, selected: layer.title === chosen }, layer.title)));
    this.#partBoxes();
    const smooth = make("input", { type: "checkbox", checked: true, change: () => {
      this.smooth = smooth.checked;
      this.#paint();
    } });
    return make("fieldset", {}, make("legend", {}, "Laid over"),
      make("label", { for: id, class: "hidden" }, "Layer"), select, this.boxes,
      slider("Opacity", 0.6, (value) => {
        this.opacity = value;
        this.#paint();
      }),
      slider("Hide below", 0, (value) => {
        this.least = value;
        this.#paint();
      }),
      make("label", { class: "box" }, smooth, make("span", {}, "smooth between patches")));
  }

  #partBoxes() {
    const layer = this.about.layers[this.heat];
    this.boxes.replaceChildren();
    if (!layer || layer.parts.length < 2) return;
    const set = this.#partsOf(layer);
    const all = make("button", { type: "button", class: "small", click: () => {
      const every = set.size < layer.parts.length;
      set.clear();
      if (every) layer.parts.forEach((_, part) => set.add(part));
      this.#partBoxes();
      this.boxes.querySelector("button")?.focus();
      this.#paint();
    } }, set.size < layer.parts.length ? "all" : "none");
    this.boxes.append(...layer.parts.map((name, part) => {
      const box = make("input", { type: "checkbox", checked: set.has(part), change: () => {
        if (box.checked) set.add(part);
        else set.delete(part);
        this.#paint();
      } });
      return make("label", { class: "box" }, box, make("span", {}, name.replaceAll("_", " ")));
    }), all);
  }

  /** @param {LayerAbout} layer @returns {Set<number>} */
  #partsOf(layer) {
    const first = layer.kind === "activation" ? [0] : layer.parts.keys();
    const set = this.parts.get(layer.title) ?? new Set(first);
    this.parts.set(layer.title, set);
    return set;
  }

  #outlineControls() {
    const layers = this.#titles().filter((layer) => OUTLINED.includes(layer.kind));
    if (!layers.length) return null;
    return make("fieldset", {}, make("legend", {}, "Outlined"), ...layers.map((layer) => {
      const box = make("input", { type: "checkbox", checked: this.outlined.has(layer.title), change: () => {
        if (box.checked) this.outlined.add(layer.title);
        else this.outlined.delete(layer.title);
        this.#reload();
      } });
      return make("div", {}, make("label", { class: "box" }, box, make("span", {}, layer.title)), make("div", { class: "key" },
        ...layer.parts.map((name) => {
          const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
          swatch.style.background = this.#colour(name);
          return make("span", {}, swatch, name.replaceAll("_", " "));
        })));
    }));
  }

  /** Which layer of this title a pane shows. @param {string} title @param {number} pane */
  #layerOf(title, pane) {
    return this.about.layers.findIndex((layer) => layer.title === title && (layer.run === null || layer.run === pane));
  }

  async #reload() {
    this.#paint();
    const read = this.#read(this.reading?.signal).then(() => this.#paint());
    await busy(this.panes, read).catch((error) => this.ask.failed(error));
  }

  /** Read what is to be shown and not here yet. @param {AbortSignal} [signal] */
  async #read(signal) {
    const row = this.row;
    const titles = new Set([...this.outlined, this.about.layers[this.heat]?.title ?? ""]);
    const wanted = new Set([...titles].flatMap((title) => this.canvases.map((_, pane) => this.#layerOf(title, pane))));
    await Promise.all([...wanted].filter((layer) => layer >= 0 && !this.held.has(`${row} ${layer}`)).map(async (layer) => {
      this.held.set(`${row} ${layer}`, await readLayer(layer, row, signal));
    }));
  }

  #paint() {
    if (!this.image || !this.dialog.open) return;
    const most = this.about.bits === 16 ? 65535 : 255;
    const [low, high] = this.window.ends.map((share) => share * most);
    const picture = imageCanvas(this.image, low, high);
    for (const [pane, { canvas, note, name }] of this.canvases.entries()) {
      const scale = window.devicePixelRatio || 1;
      const side = Math.max(64, Math.round(canvas.clientWidth * scale));
      [canvas.width, canvas.height] = [side, Math.round((side * picture.height) / picture.width)];
      const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, 0, 0, canvas.width, canvas.height);
      const words = [this.#paintHeat(context, pane), ...this.#paintOutlines(context, pane, scale)].filter(Boolean);
      const title = this.about.runs.length > 1 || words.length ? `${name}${words.length ? `: ${words.join("; ")}` : ""}` : name;
      note.textContent = title;
      canvas.setAttribute("aria-label", `Image ${short(this.table, this.row)}, ${title}`);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} pane @returns {string} */
  #paintHeat(context, pane) {
    const chosen = this.about.layers[this.heat];
    if (!chosen) return "";
    const number = this.#layerOf(chosen.title, pane);
    const layer = this.held.get(`${this.row} ${number}`);
    if (number < 0) return `${chosen.title}: not of this run`;
    if (layer === null) return `${chosen.title}: none of this image`;
    if (layer === undefined) return "";
    const parts = [...this.#partsOf(chosen)].filter((part) => part < layer.shape[0]);
    if (!parts.length) return "";
    const [, height, width] = layer.shape;
    context.imageSmoothingEnabled = this.smooth;
    const drawn = heatCanvas(together(layer, parts), width, height, this.opacity, this.least);
    context.drawImage(drawn, 0, 0, context.canvas.width, context.canvas.height);
    context.imageSmoothingEnabled = true;
    const all = parts.length === chosen.parts.length && parts.length > 1;
    return `${chosen.title}, ${all ? "all together" : parts.sort((a, b) => a - b).map((part) => chosen.parts[part]?.replaceAll("_", " ")).join(" + ")}`;
  }

  /** @param {CanvasRenderingContext2D} context @param {number} pane @param {number} scale @returns {string[]} */
  #paintOutlines(context, pane, scale) {
    const missing = [];
    for (const title of this.outlined) {
      const number = this.#layerOf(title, pane);
      const layer = number < 0 ? null : this.held.get(`${this.row} ${number}`);
      if (layer === null) missing.push(`${title}: none here`);
      if (!layer) continue;
      const dashed = this.about.layers[number].kind === "prediction";
      for (const [part, name] of this.about.layers[number].parts.entries()) outline(context, layer, part, this.#colour(name), scale, dashed);
    }
    return missing;
  }

  #facts() {
    const rows = this.ask.rows();
    const place = rows.indexOf(this.row);
    const where = place < 0 ? "not among those shown" : `${(place + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    this.title.textContent = `Image ${short(this.table, this.row)} · ${where}`;
    const { answer, klass } = this.ask.looked();
    this.known.replaceChildren(...facts(this.about, this.table, this.row, { answer, klass, judged: this.ask.judged(this.row) }));
  }

  /** @param {number} by */
  #step(by) {
    const rows = this.ask.rows();
    if (!rows.length) return;
    const place = rows.indexOf(this.row);
    const next = place < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, place + by));
    if (rows[next] !== this.row) this.show(rows[next]);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches("input[type=range], select")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    this.#step(by);
    event.preventDefault();
  }
}

