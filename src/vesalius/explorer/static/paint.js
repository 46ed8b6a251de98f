// @ts-check
// From numbers to pixels: an image within a window, a map laid over it, and the outlines of parts.

/** @typedef {import("./types").Numbers} Numbers */

/** Colours of parts, told apart by the colour-blind too (Okabe and Ito). */
export const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#0072b2", "#d55e00", "#ffffff"];

/** Dark to bright, even in lightness; red to yellow stays apart from gray images. @type {[number, number, number][]} */
const HEAT = [[20, 5, 50], [90, 18, 110], [160, 40, 100], [217, 75, 60], [248, 140, 20], [246, 215, 70], [252, 252, 200]];

/** @param {number} share From 0 to 1. @returns {[number, number, number]} */
export function heat(share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (HEAT.length - 1);
  const [from, to, part] = [HEAT[Math.floor(place)], HEAT[Math.floor(place) + 1], place % 1];
  return /** @type {[number, number, number]} */ (from.map((value, channel) => value + (to[channel] - value) * part));
}

/** Draw an image between two values of its pixels. @param {Numbers} image @param {number} low @param {number} high */
export function imageCanvas(image, low, high) {
  const [height, width, channels = 1] = image.shape;
  const pixels = new ImageData(width, height);
  const scale = 255 / Math.max(1e-9, high - low);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = image.data[place * channels + (channels === 3 ? channel : 0)];
      pixels.data[place * 4 + channel] = (value - low) * scale; // clamped by its type
    }
    pixels.data[place * 4 + 3] = 255;
  }
  return canvasOf(pixels);
}

/** Draw a map, the more opaque the higher. @param {ArrayLike<number>} values From 0 to 255.
 * @param {number} width @param {number} height
 * @param {number} opacity From 0 to 1. @param {number} least From 0 to 1: what is below is left out. */
export function heatCanvas(values, width, height, opacity, least) {
  const pixels = new ImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    const share = values[place] / 255;
    if (share < least || share === 0) continue;
    pixels.data.set(heat(share), place * 4);
    pixels.data[place * 4 + 3] = 255 * opacity * Math.min(1, 0.1 + 1.1 * share);
  }
  return canvasOf(pixels);
}

/** Several maps of one layer in one: their average, from its lowest value to its highest. @param {Numbers} layer @param {number[]} parts */
export function together(layer, parts) {
  const [, height, width] = layer.shape;
  const found = new Float32Array(width * height);
  for (const part of parts) for (let place = 0; place < found.length; place++) found[place] += layer.data[part * found.length + place];
  const [low, high] = found.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
  return found.map((value) => ((value - low) / Math.max(1e-9, high - low)) * 255);
}

/** Draw the border of a part, a line between pixels. @param {CanvasRenderingContext2D} context
 * @param {Numbers} layer @param {number} part @param {string} colour @param {number} scale Of the canvas. */
export function outline(context, layer, part, colour, scale) {
  const [, height, width] = layer.shape;
  const start = part * width * height;
  /** @param {number} row @param {number} column */
  const inside = (row, column) =>
    row >= 0 && column >= 0 && row < height && column < width && layer.data[start + row * width + column] > 127;
  const [down, across] = [(context.canvas.height / height), (context.canvas.width / width)];
  context.beginPath();
  for (let row = 0; row <= height; row++) {
    for (let column = 0; column <= width; column++) {
      const here = inside(row, column);
      if (here !== inside(row - 1, column)) line(column, row, column + 1, row);
      if (here !== inside(row, column - 1)) line(column, row, column, row + 1);
    }
  }
  /** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
  function line(x0, y0, x1, y1) {
    context.moveTo(x0 * across, y0 * down);
    context.lineTo(x1 * across, y1 * down);
  }
  context.lineWidth = 2 * scale;
  context.strokeStyle = colour;
  context.stroke();
}

/** @param {ImageData} pixels */
function canvasOf(pixels) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(pixels, 0, 0);
  return canvas;
}
