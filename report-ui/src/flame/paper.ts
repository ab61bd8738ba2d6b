/** The flame chart on paper: blocks that are parts of its width, whatever that is. */

import { el } from "../dom.ts";
import { human } from "../format.ts";
import { NODE, type Trace } from "../spans.ts";
import { runs } from "../timeline/culling.ts";
import { colourOf } from "../timeline/paper.ts";
import type { Icicle } from "./layout.ts";

const LEVEL = 19;
const MOST_LEVELS = 24;
/** Narrower ones are drawn as one (of 1000). */
const LEAST = 2.5;
const LEAST_TEXT = 45;
const WIDTH = 1_000;

/** Return the blocks of a call and all below it. */
export function paper(trace: Trace, { left, width, own }: Icicle, top: number): Node[] {
  const { rows } = trace;
  const scale = WIDTH / (width[top] || 1);
  const blocks: HTMLElement[] = [];
  const small = new Map<number, Uint8Array>();
  let levels = 1;
  for (let row = top; row < rows.end[top]; row++) {
    const level = rows.depth[row] - rows.depth[top];
    const [x, wide] = [(left[row] - left[top]) * scale, width[row] * scale];
    if (level >= MOST_LEVELS || wide < LEAST) {
      if (level < MOST_LEVELS && width[row] > 0) {
        if (!small.has(level)) small.set(level, new Uint8Array(WIDTH + 1));
        small.get(level)?.fill(1, Math.floor(x), Math.ceil(x + wide));
        levels = Math.max(levels, level + 1);
      }
      row = rows.end[row] - 1;
      continue;
    }
    levels = Math.max(levels, level + 1);
    const text = wide >= LEAST_TEXT ? `${rows.name[row]}  ${human(Math.round(width[row]))}` : "";
    const one = block(level, x, wide, rows.type[row] === NODE ? "of-node" : "of-phase", text);
    one.style.setProperty("--of", colourOf(trace, row));
    if (rows.end[row] > row + 1 && own[row] * scale >= 2) {
      const part = el("span", { class: "own" });
      part.style.width = `${(own[row] / width[row]) * 100}%`;
      one.prepend(part);
    }
    blocks.push(one);
  }
  for (const [level, pixels] of small) {
    for (const [from, to] of runs(pixels)) blocks.push(block(level, from, to - from, "of-many", ""));
  }
  const chart = el("div", { class: "blocks" }, ...blocks);
  chart.style.height = `${levels * LEVEL}px`;
  return [chart];
}

function block(level: number, left: number, width: number, kind: string, text: string): HTMLElement {
  const one = el("div", { class: `block ${kind}` }, el("span", { class: "text" }, text));
  one.style.top = `${level * LEVEL}px`;
  one.style.left = `${(left / WIDTH) * 100}%`;
  one.style.width = `${(width / WIDTH) * 100}%`;
  return one;
}
