/** What of that which is looked for stands out in a layout, where some is folded into other rows. */

import type { Trace } from "../spans.ts";
import { seenIn } from "./culling.ts";
import type { Layout } from "./layout.ts";
import type { Found } from "./search.ts";
import { Subset } from "./subset.ts";

export interface Standing {
  /** The visible rows that have something of it. */
  rows: ReadonlySet<number>;
  /** Those of them of which only some spans are meant, and all these spans. */
  partly: ReadonlySet<number>;
  spans: Subset;
}

export function standing(trace: Trace, layout: Layout, found: Found): Standing {
  const visible = (row: number): number => layout.visible[layout.placeOf[row]];
  const whole = new Set<number>();
  for (const row of found.rows) if (!found.spans.has(row)) whole.add(visible(row));
  const partly = new Set<number>();
  const seen = new Set<number>();
  for (const [row, spans] of found.spans) {
    if (whole.has(visible(row))) continue;
    partly.add(visible(row));
    for (const span of spans) {
      const at = seenIn(trace, layout, span);
      if (at >= 0) seen.add(at);
    }
  }
  const spans = new Subset(trace, Uint32Array.from(seen).sort());
  return { rows: new Set([...whole, ...partly]), partly, spans };
}
