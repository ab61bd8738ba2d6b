/** What is at a place of the timeline. */

import type { Trace } from "../spans.ts";
import type { Layout } from "./layout.ts";

/** The row and the nearest span at a place, -1 for none, and how many spans are as good as there. */
export interface Hit {
  row: number;
  span: number;
  others: number;
}

const NOTHING: Hit = { row: -1, span: -1, others: 0 };
const MOST = 10_000;

/** Return what is so far down the rows (px) at a time, where all between two times counts as there. */
export function hit(
  trace: Trace,
  layout: Layout,
  down: number,
  [from, time, to]: [number, number, number],
): Hit {
  const place = layout.placeAt(down);
  if (place < 0) return NOTHING;
  const row = layout.visible[place];
  const strips = layout.strips(row);
  const within = down - layout.tops[place] - strips.top;
  const strip = Math.max(0, Math.min(strips.count - 1, Math.floor(within / strips.height)));
  let [span, distance, others] = [-1, Infinity, 0];
  const [first, past] = layout.lanesIn(row, strip);
  for (let lane = first; lane < past; lane++) {
    let at = trace.firstEnding(lane, from);
    for (let seen = 0; at < trace.rows.spans[lane + 1] && trace.start[at] <= to && seen < MOST; at++, seen++) {
      const off = Math.max(trace.start[at] - time, time - trace.end[at], 0);
      if (off < distance) [span, distance] = [at, off];
      others++;
    }
  }
  return { row, span, others };
}
