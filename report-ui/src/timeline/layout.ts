/** Where the rows of the call tree are: which are seen, how high they are, how their lanes lie. */

import type { Rows } from "../spans.ts";

export const LEAST_HEIGHT = 26;
const PADDING = 4;
const MOST_LANES = 40;
/** How high a lane is for how many of them. */
const LANE_HEIGHTS: [lanes: number, height: number][] = [
  [1, 16],
  [3, 11],
  [8, 8],
  [20, 5],
  [Infinity, 3],
];

/** The place of a row's lanes within it; where they are too many, some share a strip. */
export interface Strips {
  count: number;
  height: number;
  /** How high a bar is, in a strip. */
  bar: number;
  top: number;
}

/** The rows that are seen, those below folded ones left out. */
export class Layout {
  readonly visible: number[] = [];
  /** The top of each visible row, and the end of the last one. */
  readonly tops: number[] = [0];
  /** For each row the place among the visible ones of itself, or of what it is folded into. */
  readonly placeOf: Int32Array;

  constructor(
    private readonly rows: Rows,
    folded: ReadonlySet<number>,
  ) {
    this.placeOf = new Int32Array(rows.count);
    let top = 0;
    for (let row = 0; row < rows.count; ) {
      const place = this.visible.length;
      this.visible.push(row);
      top += this.heightOf(row);
      this.tops.push(top);
      const past = folded.has(row) ? rows.end[row] : row + 1;
      this.placeOf.fill(place, row, past);
      row = past;
    }
  }

  get height(): number {
    return this.tops[this.visible.length];
  }

  heightOf(row: number): number {
    const { count, height } = this.strips(row);
    return Math.max(LEAST_HEIGHT, count * height + 2 * PADDING);
  }

  strips(row: number): Strips {
    const lanes = this.rows.lanes[row + 1] - this.rows.lanes[row];
    const count = Math.max(1, Math.min(lanes, MOST_LANES));
    const [, height] = LANE_HEIGHTS.find(([most]) => count <= most) ?? [0, 3];
    const whole = count * height;
    return {
      count,
      height,
      bar: count === 1 ? 14 : height > 3 ? height - 1.5 : height - 0.5,
      top: Math.max(PADDING, (LEAST_HEIGHT - whole) / 2),
    };
  }

  /** Return the top of a lane's bars within its row. */
  laneTop(row: number, lane: number): number {
    const strips = this.strips(row);
    return strips.top + this.strip(row, lane) * strips.height + (strips.height - strips.bar) / 2;
  }

  /** Return which strip a lane is in. */
  strip(row: number, lane: number): number {
    const first = this.rows.lanes[row];
    const lanes = this.rows.lanes[row + 1] - first;
    return lanes <= MOST_LANES ? lane - first : Math.floor(((lane - first) * MOST_LANES) / lanes);
  }

  /** Return the lanes that are in a strip: from, to. */
  lanesIn(row: number, strip: number): [number, number] {
    const first = this.rows.lanes[row];
    const lanes = this.rows.lanes[row + 1] - first;
    if (lanes <= MOST_LANES) return [first + strip, first + strip + (lanes ? 1 : 0)];
    const at = (number: number): number => first + Math.ceil((number * lanes) / MOST_LANES);
    return [at(strip), at(strip + 1)];
  }

  /** Return the place of the visible row at a height, -1 below the last one. */
  placeAt(height: number): number {
    if (height < 0 || height >= this.height) return -1;
    let [low, high] = [0, this.visible.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.tops[middle + 1] <= height) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
