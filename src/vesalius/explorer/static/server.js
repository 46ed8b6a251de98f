// @ts-check
// What the server is asked. Nothing leaves this address.

/** @typedef {import("./types").About} About */
/** @typedef {import("./types").Table} Table */
/** @typedef {import("./types").Numbers} Numbers */

/** An answer of the server that is not what was asked for, in words for the page. */
export class ServerError extends Error {
  /** @param {number} status @param {string} words */
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<Response>} */
async function ask(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerError(0, "The explorer does not answer any more. Start `vesalius explore` again.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ detail: answer.statusText }));
    throw new ServerError(answer.status, String(told.detail ?? "The explorer could not answer."));
  }
  return answer;
}

/** @returns {Promise<About>} */
export const readAbout = async () => (await ask("api/about")).json();

/** @returns {Promise<Table>} */
export const readTable = async () => (await ask("api/table")).json();

/** @returns {Promise<unknown>} */
export const stillThere = async () => (await ask("api/alive")).json();

/** @param {number} side @param {number} row */
export const thumbnail = (side, row) => `api/thumbnails/${side}/${row}`;

/** @param {number} row @param {AbortSignal} [signal] */
export const readImage = async (row, signal) => numbers(await ask(`api/images/${row}`, signal));

/** @param {number} layer @param {number} row @param {AbortSignal} [signal] @returns {Promise<Numbers | null>} */
export async function readLayer(layer, row, signal) {
  const answer = await ask(`api/layers/${layer}/${row}`, signal);
  return answer.status === 204 ? null : numbers(answer);
}

/** @param {number} run */
export const readPlaces = async (run) => numbers(await ask(`api/places/${run}`));

/** @param {number} run @param {number} row @param {AbortSignal} [signal]
 *  @returns {Promise<{ rows: number[], similarities: number[] }>} */
export const readNeighbours = async (run, row, signal) => (await ask(`api/neighbours/${run}/${row}`, signal)).json();

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

/** @param {Response} answer @returns {Promise<Numbers>} */
async function numbers(answer) {
  const kind = /** @type {keyof typeof KINDS} */ (answer.headers.get("X-Type"));
  const shape = (answer.headers.get("X-Shape") ?? "").split(",").map(Number);
  const [low, high] = (answer.headers.get("X-Window") ?? "0,1").split(",").map(Number);
  return { data: new KINDS[kind](await answer.arrayBuffer()), shape, window: [low, high] };
}
