// What the server sends and the page holds. Not served: `tsc` checks the modules against it.

export interface Column {
  key: string;
  title: string;
  about?: string;
  kind: "category" | "number";
  classes?: string[];
  /** Of a category, the number of the class; null where not known. */
  values: (number | null)[];
}

export interface Answer {
  key: string;
  run: number;
  evaluation: string;
  title: string;
  /** What tells its scores from those that were summed up. */
  notes: string[];
  kind: "classes" | "number";
  classes?: string[];
  /** Each class is a yes or no of its own. */
  several?: boolean;
  /** A list a class. */
  scores?: (number | null)[][];
  /** The number of the class; of several, a list of 0 and 1 a class. */
  truth?: (number | null)[] | (number | null)[][];
  /** Of kind `number`: higher is better. */
  values?: (number | null)[];
}

export interface Table {
  ids: string[];
  columns: Column[];
  answers: Answer[];
  /** How many labels are not shown, since they may name patients. */
  left_out: number;
  problems: string[];
}

export interface LayerAbout {
  kind: "attention" | "mask" | "map" | "prediction" | "activation";
  title: string;
  parts: string[];
  run: number | null;
}

export interface About {
  version: string;
  store: string;
  images: number;
  size: number;
  bits: number;
  channels: number;
  runs: { name: string; map: string }[];
  layers: LayerAbout[];
}

export type VerdictName = "right" | "wrong" | "missed" | "false-alarm";

export interface Judged {
  verdict: VerdictName | null;
  /** Of the class looked at, or of the image's own class. */
  score: number | null;
  /** How far from the truth, from 0 to 1; of a number, the lower the worse. */
  error: number | null;
}

export type Order = "stored" | "worst" | "best" | "highest" | "lowest";

export interface State {
  /** Number in `Table.answers`, or -1. */
  answer: number;
  /** The class looked at, or -1 for all. */
  klass: number;
  threshold: number;
  verdict: VerdictName | "all";
  order: Order;
  /** By column key: which classes are shown; null stands for not known. */
  categories: Map<string, Set<number | null>>;
  /** By column key: from and to. */
  ranges: Map<string, [number, number]>;
  /** Of the answer looked at: from and to; null for all. */
  scores: [number, number] | null;
  onlySelected: boolean;
  selected: Set<number>;
  view: "grid" | "map";
  side: number;
}

export interface Numbers {
  data: Uint8Array | Uint16Array | Float32Array;
  shape: number[];
  window: [number, number];
}
