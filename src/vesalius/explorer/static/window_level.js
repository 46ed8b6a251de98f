// @ts-check
// Which values of an image are black and which are white, told in the values of the file that it came from.

import { fresh, make } from "./dom.js";

/** @typedef {import("./types").Numbers} Numbers */

export class WindowLevel {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** Shares of the whole range. @type {[number, number]} */
    this.ends = [0, 1];
    /** @type {Numbers | null} */
    this.image = null;
    this.words = make("p", { class: "quiet" });
    const whole = make("button", { type: "button", class: "small", click: () => this.#set([0, 1]) }, "whole range");
    this.sliders = [
      slider("Darkest", 0, (value) => this.#set([value, this.ends[1]])),
      slider("Brightest", 1, (value) => this.#set([this.ends[0], value])),
    ];
    this.place = make("fieldset", {}, make("legend", {}, "Window"), ...this.sliders, this.words, whole);
  }

  /** Tell the window in an image's own values; the window itself stays from image to image. @param {Numbers} image */
  tell(image) {
    this.image = image;
    const [from, to] = image.window;
    const [low, high] = this.ends.map((share) => from + share * (to - from));
    const digits = Math.abs(to - from) < 10 ? 2 : 0;
    const [width, level] = [high - low, (low + high) / 2].map((value) => value.toFixed(digits));
    this.words.textContent = `values ${low.toFixed(digits)} to ${high.toFixed(digits)} of the file: width ${width}, level ${level}`;
  }

  /** @param {[number, number]} ends */
  #set(ends) {
    this.ends = ends;
    for (const [place, one] of this.sliders.entries())
      /** @type {HTMLInputElement} */ (one.querySelector("input")).value = String(ends[place]);
    if (this.image) this.tell(this.image);
    this.changed();
  }
}

/** A slider from 0 to 1 with its name. @param {string} words @param {number} value @param {(value: number) => void} set */
export function slider(words, value, set) {
  const id = fresh("slider");
  const input = make("input", { id, type: "range", min: 0, max: 1, step: 0.01, value, input: () => set(Number(input.value)) });
  return make("p", { class: "slider" }, make("label", { for: id }, words), input);
}
