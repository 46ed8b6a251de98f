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

/** Draw the border of a part, between pixels. @param {CanvasRenderingContext2D} context
 * @param {Numbers} layer @param {number} part @param {string} colour @param {number} scale Of the canvas.
 * @param {boolean} dashed */
export function outline(context, layer, part, colour, scale, dashed) {
  const [, height, width] = layer.shape;
  const [down, across] = [context.canvas.height / height, context.canvas.width / width];
  context.beginPath();
  for (const border of borders(layer.data.subarray(part * width * height, (part + 1) * width * height), width, height))
    for (const [place, corner] of border.entries()) {
      const [x, y] = [(corner % (width + 1)) * across, Math.floor(corner / (width + 1)) * down];
      if (place) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
  context.setLineDash(dashed ? [7 * scale, 5 * scale] : []);
  context.lineWidth = 2 * scale;
  context.strokeStyle = colour;
  context.stroke();
  context.setLineDash([]);
}

/** Trace what is above half: closed lines over the corners of pixels, numbered row by row.
 * @param {ArrayLike<number>} values @param {number} width @param {number} height @returns {number[][]} */
export function borders(values, width, height) {
  /** @param {number} row @param {number} column */
  const inside = (row, column) => row >= 0 && column >= 0 && row < height && column < width && values[row * width + column] > 127;
  /** From a corner to those that follow it, the part at the right hand. @type {Map<number, number[]>} */
  const next = new Map();
  /** @param {number} from @param {number} to */
  const edge = (from, to) => {
    const there = next.get(from);
    if (there) there.push(to);
    else next.set(from, [to]);
  };
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      if (!inside(row, column)) continue;
      const corner = row * (width + 1) + column;
      const below = corner + width + 1;
      if (!inside(row - 1, column)) edge(corner, corner + 1);
      if (!inside(row, column + 1)) edge(corner + 1, below + 1);
      if (!inside(row + 1, column)) edge(below + 1, below);
      if (!inside(row, column - 1)) edge(below, corner);
    }
  const found = [];
  for (const [start, ways] of next)
    while (ways.length) {
      const line = [start];
      for (let at = /** @type {number} */ (ways.pop()); ; at = /** @type {number} */ (next.get(at)?.pop())) {
        line.push(at);
        if (at === start) break;
      }
      found.push(line);
    }
  return found;
}

/** @param {ImageData} pixels */
function canvasOf(pixels) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(pixels, 0, 0);
  return canvas;
}
