/** Documents of made-up executions, and the numbers to make them of. */

import type { RunDocument } from "../src/document.ts";

export interface MadeSpan {
  row: number;
  lane: number;
  start: number;
  end: number;
  parent: number;
}

/** Return numbers between 0 and 1 that are the same every time (a linear congruential generator). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Return an execution of a row with lanes of calls that do not overlap, below the whole. */
export function lanes(counts: number[], seed: number, wall = 1_000_000): [RunDocument, MadeSpan[]] {
  const next = random(seed);
  const spans: MadeSpan[] = [{ row: 0, lane: 0, start: 0, end: wall, parent: -1 }];
  counts.forEach((count, lane) => {
    const times = Array.from({ length: 2 * count }, () => Math.floor(next() * wall)).sort((a, b) => a - b);
    for (let at = 0; at < count; at++) {
      spans.push({ row: 1, lane: lane + 1, start: times[2 * at], end: times[2 * at + 1], parent: 0 });
    }
  });
  return [documentOf(spans, [-1, 0], [[1], counts], wall), spans];
}

/** Return the document of spans that stand in the order of rows and lanes. */
export function documentOf(
  spans: MadeSpan[],
  parents: number[],
  counts: number[][],
  wall: number,
): RunDocument {
  const deltas = (numbers: number[]): number[] => numbers.map((number, at) => number - (at ? numbers[at - 1] : 0));
  const zeros = parents.map(() => 0);
  let [lane, clock] = [-1, 0];
  return {
    exec_id: "made",
    name: null,
    status: "ok",
    trace_id: "0",
    started_ns: "0",
    duration_ns: wall,
    started: "",
    spans: spans.length,
    errors: 0,
    cancelled: 0,
    unattributed_ns: 0,
    unattributed: 0,
    critical_unattributed_ns: 0,
    critical_waiting_ns: 0,
    wall_ns: wall,
    at_once: { average: 1, maximum: 1 },
    usage: { input_tokens: 0, output_tokens: 0, cost: null, unpriced: 0 },
    open: 0,
    usual: null,
    notes: [],
    findings: [],
    nodes: [],
    rows: {
      parent: parents,
      type: parents.map((parent) => (parent < 0 ? "e" : "p")),
      name: parents.map((_, row) => row),
      node: zeros.map(() => -1),
      node_type: zeros.map(() => -1),
      calls: zeros,
      total_ns: zeros,
      self_ns: zeros,
      critical_ns: zeros,
    },
    span_columns: {
      lanes: counts,
      gap: spans.map((span) => {
        if (span.lane !== lane) [lane, clock] = [span.lane, 0];
        const gap = span.start - clock;
        clock = span.end;
        return gap;
      }),
      length: spans.map((span) => span.end - span.start),
      parent: deltas(spans.map((span) => span.parent)),
      error: [],
      cancelled: [],
      open: [],
      iteration: { at: [], text: [] },
      usage: { at: [], input: [], output: [], cost: [], model: [] },
      id: [],
    },
    path: { owner: [], length: [], wait: [], waiting: [] },
    details: {
      texts: [],
      shapes: [],
      entries: [],
      stacks: [],
      at: [],
      entry: [],
      message: { at: [], text: [] },
      event: { at: [], name: [], offset: [], entry: [], stack: [] },
      more_events: { at: [], count: [] },
      nothing: [],
      left_out: 0,
    },
    names: parents.map((_, row) => `row ${row}`),
  };
}
