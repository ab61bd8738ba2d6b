/** Some of the spans, where they are in the lanes of all: what is drawn apart from the others. */

import { firstEnding, type Trace } from "../spans.ts";
import type { Bars } from "./culling.ts";

export class Subset implements Bars {
  readonly rows: { readonly spans: Uint32Array };
  readonly start: Float64Array;
  readonly end: Float64Array;

  /** Take spans by their numbers, which ascend: so they do by their lanes, and in those by time. */
  constructor(trace: Trace, spans: ArrayLike<number>) {
    const lanes = new Uint32Array(trace.rows.spans.length);
    this.start = new Float64Array(spans.length);
    this.end = new Float64Array(spans.length);
    for (let at = 0; at < spans.length; at++) {
      this.start[at] = trace.start[spans[at]];
      this.end[at] = trace.end[spans[at]];
      lanes[trace.lane[spans[at]] + 1]++;
    }
    for (let lane = 1; lane < lanes.length; lane++) lanes[lane] += lanes[lane - 1];
    this.rows = { spans: lanes };
  }

  firstEnding(lane: number, time: number): number {
    return firstEnding(this.rows.spans, this.end, lane, time);
  }
}

/** Return the spans on the critical path: those that own some of it, and those these are within. */
export function onCriticalPath(trace: Trace): number[] {
  const isOn = new Uint8Array(trace.count);
  for (const owner of trace.criticalOf.keys()) {
    for (let at = owner; at >= 0 && !isOn[at]; at = trace.parent[at]) isOn[at] = 1;
  }
  const spans: number[] = [];
  isOn.forEach((on, span) => on && spans.push(span));
  return spans;
}
