/** Finding rows by what they are called, and spans by what they say or by their ids. */

import { ERROR, type Trace } from "../spans.ts";
import { labelOf } from "./details.ts";

const LEAST_ID = 6;

export interface Found {
  rows: ReadonlySet<number>;
  /** Of rows of which not all is meant, the spans that are, in order. */
  spans: ReadonlyMap<number, readonly number[]>;
  /** The span that was named by its id, -1 if none was. */
  span: number;
  calls: number;
}

/** Return what a text stands for; null for none. */
export function find(trace: Trace, text: string): Found | null {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return null;
  const rows = new Set<number>();
  let calls = 0;
  for (let row = 0; row < trace.rows.count; row++) {
    if (!labelOf(trace, row).toLowerCase().includes(wanted)) continue;
    rows.add(row);
    calls += callsOf(trace, row);
  }
  const saying = new Set([...trace.said.find(wanted), ...trace.usesOf(wanted)]);
  const spans = byRow(
    trace,
    [...saying].filter((span) => !rows.has(trace.row[span])).sort((one, other) => one - other),
  );
  for (const [row, some] of spans) {
    rows.add(row);
    calls += some.length;
  }
  let span = -1;
  if (rows.size === 0 && wanted.length >= LEAST_ID && /^[0-9a-f]+$/.test(wanted)) {
    span = trace.id.findIndex((id) => id.startsWith(wanted));
    if (span >= 0) {
      rows.add(trace.row[span]);
      calls = 1;
    }
  }
  return { rows, spans, span, calls };
}

/** Return a node, or a phase of it; what failed of it alone, if anything did and that is asked for. */
export function placeOf(trace: Trace, node: string, phase: string | null, isFailure: boolean): Found {
  const rows = rowsOf(trace, node, phase);
  if (isFailure) {
    const failed = trace.marked.filter((span) => trace.status[span] & ERROR && rows.has(trace.row[span]));
    const spans = byRow(trace, failed);
    if (failed.length > 0) return { rows: new Set(spans.keys()), spans, span: -1, calls: failed.length };
  }
  const calls = [...rows].reduce((sum, row) => sum + callsOf(trace, row), 0);
  return { rows, spans: new Map(), span: -1, calls };
}

/** Return a row and a span to go to from where one is; the next or the last before, round and round. */
export function nextOf(
  trace: Trace,
  found: Found,
  step: 1 | -1,
  row: number,
  span: number,
  time: number,
): { row: number; span: number } | null {
  const rows = [...found.rows].sort((one, other) => one - other);
  const targets = rows.flatMap((one) =>
    (found.spans.get(one) ?? [NONE]).map((of) => ({ row: one, span: of })),
  );
  if (targets.length === 0) return null;
  const isBehind = (one: { row: number; span: number }): boolean =>
    one.row !== row ? one.row > row : one.span !== NONE && one.span > span;
  const isBefore = (one: { row: number; span: number }): boolean =>
    one.row !== row ? one.row < row : one.span !== NONE && one.span < span;
  const next =
    (step > 0 ? targets.find(isBehind) : targets.findLast(isBefore)) ??
    (step > 0 ? targets[0] : targets[targets.length - 1]);
  return next.span === NONE ? { row: next.row, span: trace.nearest(next.row, time) } : next;
}

const NONE = -1;

/** Return the rows of a node, or of a phase of it. */
function rowsOf(trace: Trace, node: string, phase: string | null): Set<number> {
  const { rows } = trace;
  const found = new Set<number>();
  for (let row = 0; row < rows.count; row++) {
    if (rows.type[row] === 0 || (rows.node[row] ?? "") !== node) continue;
    if (phase === null || (rows.type[row] === 2 && rows.name[row] === phase)) found.add(row);
  }
  return found;
}

function byRow(trace: Trace, spans: readonly number[]): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const span of spans) {
    const known = found.get(trace.row[span]);
    if (known) known.push(span);
    else found.set(trace.row[span], [span]);
  }
  return found;
}

function callsOf(trace: Trace, row: number): number {
  return trace.rows.spans[trace.rows.lanes[row + 1]] - trace.rows.spans[trace.rows.lanes[row]];
}
