// @ts-check
// The page put together: what is read, what is shown, what is selected.

import { judgeAll, passing, shown } from "./choose.js";
import { csv } from "./csv.js";
import { Detail } from "./detail.js";
import { count, find, make } from "./dom.js";
import { countWords, Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { firstClass, VERDICTS } from "./judge.js";
import { PlacesMap } from "./map.js";
import { readAbout, readTable, ServerError, stillThere } from "./server.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Judged} Judged */

const WATCHED = 5000; // milliseconds between looks whether the store is as it was

async function begin() {
  const [about, table] = await Promise.all([readAbout(), readTable()]);
  document.title = `${about.store} · vesalius explore`;
  find("#title", HTMLElement).textContent = about.store;
  /** @type {State} */
  const state = {
    answer: table.answers.length ? 0 : -1, klass: firstClass(table.answers[0]), threshold: 0.5, verdict: "all", order: "stored",
    categories: new Map(), ranges: new Map(), scores: null, onlySelected: false, selected: new Set(), view: "grid", side: 128,
  };
  /** @type {number[]} */
  let rows = [];
  /** @type {Judged[]} */
  let judged = judgeAll(table, state);
  let stale = false; // whether they are to be judged anew
  let waiting = false;

  const grid = new Grid(find("#grid", HTMLElement), {
    tell: (row) => tell(row),
    open: (index) => detail.show(rows[index]),
    select,
    isSelected: (row) => state.selected.has(row),
  });
  const detail = new Detail(find("#detail", HTMLDialogElement), about, table, {
    rows: () => rows,
    looked: () => state,
    judged: (row) => judged[row],
    closed: (index) => (state.view === "grid" && index >= 0 ? grid.focus(index) : undefined),
    failed,
  });
  const map = about.runs.length ? new PlacesMap(find("#panel-map", HTMLElement), about, table, state, {
    rows: () => rows, judged: () => judged, open: (row) => detail.show(row), failed,
    select: (found) => select(found, true),
  }) : null;
  const filters = new Filters(find("#filters", HTMLElement), about, table, state, (what) => {
    stale ||= what === "answer";
    soon();
  });

  const words = make("span");
  const only = make("button", { type: "button", click: () => {
    state.onlySelected = !state.onlySelected;
    update();
  } }, "Show only these");
  const none = make("button", { type: "button", click: () => {
    state.selected.clear();
    state.onlySelected = false;
    update();
    find("#grid .tile[tabindex='0'], #tab-grid", HTMLElement).focus();
  } }, "Select none");
  find("#selection", HTMLElement).append(words, only, none);

  /** Choose and draw anew, once a frame. */
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  }

  /** Choose and draw anew. */
  function update() {
    if (stale) judged = judgeAll(table, state);
    stale = false;
    const passed = passing(table, judged, state);
    rows = shown(passed, judged, state);
    const counts = new Map([[/** @type {import("./types").VerdictName | "all"} */ ("all"), passed.length]]);
    if (judged.length) for (const row of passed) {
      const { verdict } = judged[row];
      if (verdict) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    }
    filters.count(counts);
    find("#count", HTMLElement).textContent = countWords(rows.length, table.ids.length);
    find("#empty", HTMLElement).hidden = rows.length > 0;
    grid.show(rows, state.side);
    told();
    if (state.view === "map") map?.draw();
  }

  /** @param {number} row */
  function tell(row) {
    const one = judged[row];
    const verdict = one?.verdict ? VERDICTS[one.verdict] : null;
    const caption = one?.score === null || one?.score === undefined ? table.ids[row].slice(0, 8) : one.score.toFixed(2);
    const score = one?.score === null || one?.score === undefined ? "" : `, score ${one.score.toFixed(2)}`;
    const words = `Image ${table.ids[row].slice(0, 8)}${score}${verdict ? `, ${verdict.words.toLowerCase()}` : ""}`;
    return { caption, sign: verdict?.sign ?? "", tone: one?.verdict ?? "", words };
  }

  /** @param {number[]} which @param {boolean} on */
  function select(which, on) {
    for (const row of which) if (on) state.selected.add(row);
    else state.selected.delete(row);
    const only = state.onlySelected;
    if (!state.selected.size) state.onlySelected = false;
    if (only) update();
    else {
      grid.retell();
      told();
      if (state.view === "map") map?.draw();
    }
  }

  /** Tell of the selection, and what would be exported. */
  function told() {
    const bar = find("#selection", HTMLElement);
    const many = state.selected.size;
    bar.hidden = !many;
    words.textContent = `${count(many, "image")} selected`;
    only.setAttribute("aria-pressed", String(state.onlySelected));
    find("#export", HTMLElement).textContent = many ? `Export ${many.toLocaleString("en")} selected` : `Export ${rows.length.toLocaleString("en")} shown`;
  }

  function save() {
    const chosen = state.selected.size ? [...state.selected].sort((one, other) => one - other) : rows;
    const address = URL.createObjectURL(new Blob([csv(table, chosen, about.runs.map((run) => run.name))], { type: "text/csv" }));
    make("a", { href: address, download: `${about.store}-images.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  /** @param {"grid" | "map"} view */
  function look(view) {
    state.view = view;
    for (const name of ["grid", "map"]) {
      const on = name === view;
      const tab = find(`#tab-${name}`, HTMLElement);
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      find(`#panel-${name}`, HTMLElement).hidden = !on;
    }
    if (view === "map") map?.load();
    else grid.layout();
  }

  for (const name of /** @type {const} */ (["grid", "map"])) {
    const tab = find(`#tab-${name}`, HTMLElement);
    tab.addEventListener("click", () => look(name));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = name === "grid" ? "map" : "grid";
      look(other);
      find(`#tab-${other}`, HTMLElement).focus();
    });
  }
  find("#tab-map", HTMLElement).hidden = !map;
  const side = find("#side", HTMLSelectElement);
  side.addEventListener("change", () => {
    state.side = Number(side.value);
    update();
  });
  find("#export", HTMLElement).addEventListener("click", save);
  const opener = find("#open-filters", HTMLElement);
  opener.addEventListener("click", () => {
    const open = document.body.classList.toggle("filtering");
    opener.setAttribute("aria-expanded", String(open));
  });
  if (window.matchMedia("(max-width: 720px)").matches) {
    side.value = "96";
    state.side = 96;
  }
  update();
  watch();
}

/** Look from time to time whether the store is as it was. */
function watch() {
  setTimeout(async () => {
    try {
      await stillThere();
      tellAll("");
      watch();
    } catch (error) {
      failed(error);
      if (error instanceof ServerError && error.status === 0) watch();
    }
  }, WATCHED);
}

/** Tell what went wrong; that something newer was asked for is no mistake. @param {unknown} error */
function failed(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  tellAll(error instanceof Error ? error.message : String(error));
}

/** On the page and over the image that is open: what lies below that is out of reach. @param {string} words */
function tellAll(words) {
  for (const banner of document.querySelectorAll(".banner")) {
    banner.toggleAttribute("hidden", !words);
    if (banner.textContent !== words) banner.textContent = words;
  }
}

begin().catch((error) => {
  find("#count", HTMLElement).textContent = "";
  failed(error);
});
