// @ts-check
// Making elements.

/** @typedef {Node | string | null | undefined | false} Child */

/** Make an element. Attributes that are functions are listeners; `true` and `false` set and leave out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, any>} [attributes] @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]} */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child || child === "").map((child) => /** @type {Node | string} */ (child)));
  return element;
}

/** An element of the page that must be there. @template {Element} T @param {string} selector @param {new () => T} kind @returns {T} */
export function find(selector, kind) {
  const element = document.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`no ${selector} in the page`);
  return element;
}

/** `1 image`, `1,280 images`. @param {number} number @param {string} thing */
export const count = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

let made = 0;

/** A name that no other element has. @param {string} stem */
export const fresh = (stem) => `${stem}-${(made += 1)}`;

/** How much of a place is being read. @type {WeakMap<Element, number>} */
const readings = new WeakMap();

/** Say of a place that it is busy (`aria-busy`) until the work is done. @template T @param {Element} place @param {Promise<T>} work */
export function busy(place, work) {
  const more = (/** @type {number} */ by) => {
    const left = (readings.get(place) ?? 0) + by;
    readings.set(place, left);
    place.setAttribute("aria-busy", `${left > 0}`);
  };
  more(1);
  return work.finally(() => more(-1));
}
