/** Finding rows by what they are called, and spans by their ids. */

import type { Trace } from "../spans.ts";
import { labelOf } from "./details.ts";

const LEAST_ID = 6;

export interface Found {
  rows: ReadonlySet<number>;
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
  let span = -1;
  if (rows.size === 0 && wanted.length >= LEAST_ID && /^[0-9a-f]+$/.test(wanted)) {
    span = trace.id.findIndex((id) => id.startsWith(wanted));
    if (span >= 0) {
      rows.add(trace.row[span]);
      calls = 1;
    }
  }
  return { rows, span, calls };
}

/** Return the rows of a node, or of a phase of it. */
export function rowsOf(trace: Trace, node: string, phase: string | null): Set<number> {
  const { rows } = trace;
  const found = new Set<number>();
  for (let row = 0; row < rows.count; row++) {
    if (rows.type[row] === 0 || (rows.node[row] ?? "") !== node) continue;
    if (phase === null || (rows.type[row] === 2 && rows.name[row] === phase)) found.add(row);
  }
  return found;
}

function callsOf(trace: Trace, row: number): number {
  return trace.rows.spans[trace.rows.lanes[row + 1]] - trace.rows.spans[trace.rows.lanes[row]];
}
