/** The icicle: each row of the call tree as wide as the self times of it and all that it called. */

import { EXECUTION, type Trace } from "../spans.ts";

export interface Icicle {
  /** By row, in nanoseconds: where it begins, how wide it is, what of that is its own. */
  left: Float64Array;
  width: Float64Array;
  own: Float64Array;
  depth: number;
  whole: number;
}

/**
 * Return the icicle of an execution. The whole has no self time of its own: what no node or phase
 * covers is work of nobody.
 */
export function icicle(trace: Trace): Icicle {
  const { rows } = trace;
  const own = Float64Array.from(rows.self, (self, row) => (rows.type[row] === EXECUTION ? 0 : Number(self)));
  const width = own.slice();
  let depth = 0;
  for (let row = rows.count - 1; row > 0; row--) {
    width[rows.parent[row]] += width[row];
    depth = Math.max(depth, rows.depth[row]);
  }
  const below: number[][] = Array.from({ length: rows.count }, () => []);
  for (let row = 1; row < rows.count; row++) below[rows.parent[row]].push(row);
  const left = new Float64Array(rows.count);
  // Parents come before what is below them.
  for (let row = 0; row < rows.count; row++) {
    let at = left[row];
    for (const child of below[row].sort((one, other) => width[other] - width[one])) {
      left[child] = at;
      at += width[child];
    }
  }
  return { left, width, own, depth, whole: width[0] };
}
