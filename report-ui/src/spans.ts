/** An execution's spans and their call tree, as the charts work on them: typed arrays by number. */

import { sums } from "./deltas.ts";
import type { Ns, RunDocument } from "./document.ts";
import { Said } from "./said.ts";

export const OK = 0;
export const ERROR = 1;
export const CANCELLED = 2;
export const OPEN = 4;

export const EXECUTION = 0;
export const NODE = 1;
export const PHASE = 2;

const NONE = -1;

export interface SpanUse {
  input: number;
  output: number;
  cost: number | null;
  model: string | null;
}

/** The rows of the call tree from above; what is below row `r` is the rows from `r + 1` to `end[r]`. */
export interface Rows {
  count: number;
  parent: Int32Array;
  depth: Int32Array;
  end: Int32Array;
  type: Uint8Array;
  name: string[];
  node: (string | null)[];
  nodeType: (string | null)[];
  calls: number[];
  total: Ns[];
  self: Ns[];
  critical: Ns[];
  colour: Int32Array;
  /** The lanes of row `r` are those from `lanes[r]` to `lanes[r + 1]`. */
  lanes: Uint32Array;
  /** The spans of lane `l` are those from `spans[l]` to `spans[l + 1]`, by time, none overlapping. */
  spans: Uint32Array;
  /** How many failed and were cancelled in a row and all below it. */
  errors: Uint32Array;
  cancelled: Uint32Array;
  open: Uint32Array;
}

/** The critical path, by its stretches in the order of time; `waiting` is a span that had not begun. */
export interface Path {
  owner: Int32Array;
  start: Float64Array;
  end: Float64Array;
  waiting: Int32Array;
}

export class Trace {
  readonly count: number;
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly length: Ns[];
  readonly parent: Int32Array;
  readonly row: Uint32Array;
  readonly lane: Uint32Array;
  readonly status: Uint8Array;
  readonly id: string[];
  readonly rows: Rows;
  readonly path: Path;
  readonly wall: number;
  /** From the first start to the last end: what is outside of the whole, too. */
  readonly from: number;
  readonly to: number;
  /** The spans that are not just fine, in order. */
  readonly marked: number[];
  /** How much each span owns of the critical path; those with nothing are left out. */
  readonly criticalOf = new Map<number, number>();
  private readonly iterations = new Map<number, string>();
  private readonly uses = new Map<number, SpanUse>();
  readonly said: Said;

  /** `nodes` are in the order of their colours. */
  constructor(run: RunDocument, nodes = run.nodes.map((row) => row.node_id)) {
    const { span_columns: columns, names } = run;
    this.count = columns.length.length;
    this.start = new Float64Array(this.count);
    this.end = new Float64Array(this.count);
    this.length = columns.length;
    this.row = new Uint32Array(this.count);
    this.lane = new Uint32Array(this.count);
    this.status = new Uint8Array(this.count);
    this.id = columns.id;
    this.wall = Number(run.wall_ns);
    this.parent = Int32Array.from(sums(columns.parent));
    this.rows = makeRows(run, nodes);
    this.place(columns.lanes, columns.gap);
    let [from, to] = [0, this.wall];
    for (let span = 0; span < this.count; span++) {
      if (this.start[span] < from) from = this.start[span];
      if (this.end[span] > to) to = this.end[span];
    }
    this.from = from;
    this.to = to > from ? to : from + 1;
    this.marked = this.marks(columns.error, columns.cancelled, columns.open);
    const text = (number: number): string | null => (number === NONE ? null : names[number]);
    sums(columns.iteration.at).forEach((span, at) => {
      this.iterations.set(span, names[columns.iteration.text[at]]);
    });
    const { usage } = columns;
    sums(usage.at).forEach((span, at) => {
      this.uses.set(span, {
        input: usage.input[at],
        output: usage.output[at],
        cost: usage.cost[at],
        model: text(usage.model[at]),
      });
    });
    this.said = new Said(run.details);
    this.path = makePath(run);
    this.path.owner.forEach((owner, at) => {
      if (owner < 0 || this.path.waiting[at] >= 0) return;
      const length = this.path.end[at] - this.path.start[at];
      this.criticalOf.set(owner, (this.criticalOf.get(owner) ?? 0) + length);
    });
  }

  iteration(span: number): string | undefined {
    return this.iterations.get(span);
  }

  use(span: number): SpanUse | undefined {
    return this.uses.get(span);
  }

  /** Return the spans that used a model with a text in its name. */
  usesOf(wanted: string): number[] {
    const found: number[] = [];
    for (const [span, use] of this.uses) if (use.model?.toLowerCase().includes(wanted)) found.push(span);
    return found;
  }

  /** Return how long the longest span of a row took, 0 if it has none. */
  longest(row: number): Ns {
    const { lanes, spans } = this.rows;
    let longest: Ns = 0;
    for (let span = spans[lanes[row]]; span < spans[lanes[row + 1]]; span++) {
      if (Number(this.length[span]) > Number(longest)) longest = this.length[span];
    }
    return longest;
  }

  /** Return the first span of a lane that ends at a time or later. */
  firstEnding(lane: number, time: number): number {
    return firstEnding(this.rows.spans, this.end, lane, time);
  }

  /** Return the span of a row that is nearest to a time, -1 if it has none. */
  nearest(row: number, time: number): number {
    let [best, distance] = [NONE, Infinity];
    for (let lane = this.rows.lanes[row]; lane < this.rows.lanes[row + 1]; lane++) {
      const at = this.firstEnding(lane, time);
      for (const span of [at - 1, at]) {
        if (span < this.rows.spans[lane] || span >= this.rows.spans[lane + 1]) continue;
        const off = Math.max(this.start[span] - time, time - this.end[span], 0);
        if (off < distance) [best, distance] = [span, off];
      }
    }
    return best;
  }

  /** Return the span next to one in its row, by start; -1 if there is none. */
  neighbour(span: number, step: 1 | -1): number {
    const row = this.row[span];
    const isBehind = (one: number, other: number): boolean =>
      this.start[one] !== this.start[other] ? this.start[one] > this.start[other] : one > other;
    let best = NONE;
    for (let lane = this.rows.lanes[row]; lane < this.rows.lanes[row + 1]; lane++) {
      const [first, past] = [this.rows.spans[lane], this.rows.spans[lane + 1]];
      let [low, high] = [first, past];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (isBehind(middle, span)) high = middle;
        else low = middle + 1;
      }
      // `low` is the first behind the span; before that are the span itself and what is before it.
      let at = step > 0 ? low : low - 1;
      if (step < 0 && at === span) at--;
      if (at < first || at >= past) continue;
      if (best === NONE || isBehind(best, at) === step > 0) best = at;
    }
    return best;
  }

  private place(lanes: number[][], gaps: Ns[]): void {
    let span = 0;
    let lane = 0;
    lanes.forEach((counts, row) => {
      this.rows.lanes[row] = lane;
      for (const number of counts) {
        this.rows.spans[lane] = span;
        let clock = 0;
        for (const past = span + number; span < past; span++) {
          this.start[span] = clock + Number(gaps[span]);
          clock = this.end[span] = this.start[span] + Number(this.length[span]);
          this.row[span] = row;
          this.lane[span] = lane;
        }
        lane++;
      }
    });
    this.rows.lanes[lanes.length] = lane;
    this.rows.spans[lane] = span;
  }

  /** Note the status of spans that are not just fine, and return those. */
  private marks(errors: number[], cancelled: number[], open: number[]): number[] {
    const { rows } = this;
    const put = (spans: number[], status: number, counts: Uint32Array): void => {
      for (const span of spans) {
        this.status[span] |= status;
        counts[this.row[span]]++;
      }
      for (let row = rows.count - 1; row > 0; row--) counts[rows.parent[row]] += counts[row];
    };
    const [failed, stopped, unended] = [sums(errors), sums(cancelled), sums(open)];
    put(failed, ERROR, rows.errors);
    put(stopped, CANCELLED, rows.cancelled);
    put(unended, OPEN, rows.open);
    return [...failed, ...stopped, ...unended].sort((one, other) => one - other);
  }
}

function makeRows(run: RunDocument, nodes: string[]): Rows {
  const { rows: columns, names } = run;
  const count = columns.parent.length;
  const text = (number: number): string | null => (number === NONE ? null : names[number]);
  const lanes = run.span_columns.lanes.reduce((sum, counts) => sum + counts.length, 0);
  const parent = Int32Array.from(columns.parent);
  const depth = new Int32Array(count);
  const end = new Int32Array(count);
  for (let row = 1; row < count; row++) depth[row] = depth[parent[row]] + 1;
  for (let row = count - 1; row >= 0; row--) {
    end[row] = Math.max(end[row], row + 1);
    if (row > 0) end[parent[row]] = Math.max(end[parent[row]], end[row]);
  }
  const node = columns.node.map(text);
  const colourOf = new Map(nodes.map((name, at) => [name, at]));
  const types = { e: EXECUTION, n: NODE, p: PHASE };
  return {
    count,
    parent,
    depth,
    end,
    type: Uint8Array.from(columns.type, (type) => types[type]),
    name: columns.name.map((number) => names[number]),
    node,
    nodeType: columns.node_type.map(text),
    calls: columns.calls,
    total: columns.total_ns,
    self: columns.self_ns,
    critical: columns.critical_ns,
    colour: Int32Array.from(node, (name) => (name === null ? NONE : (colourOf.get(name) ?? NONE))),
    lanes: new Uint32Array(count + 1),
    spans: new Uint32Array(lanes + 1),
    errors: new Uint32Array(count),
    cancelled: new Uint32Array(count),
    open: new Uint32Array(count),
  };
}

function makePath(run: RunDocument): Path {
  const { path: columns } = run;
  const count = columns.length.length;
  const path: Path = {
    owner: Int32Array.from(sums(columns.owner)),
    start: new Float64Array(count),
    end: new Float64Array(count),
    waiting: new Int32Array(count).fill(NONE),
  };
  let clock = 0;
  for (let at = 0; at < count; at++) {
    path.start[at] = clock;
    clock = path.end[at] = clock + Number(columns.length[at]);
  }
  const waiting = sums(columns.waiting);
  sums(columns.wait).forEach((number, at) => {
    path.waiting[number] = waiting[at];
  });
  return path;
}

/** Return the first span of a lane that ends at a time or later, of those by the ends of all. */
export function firstEnding(spans: ArrayLike<number>, end: ArrayLike<number>, lane: number, time: number): number {
  let [low, high] = [spans[lane], spans[lane + 1]];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (end[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
