/** The stretch of time that is shown, and how it is moved, widened and narrowed. */

import type { Trace } from "../spans.ts";

export const LEAST_WINDOW = 50;

/** What is shown of one execution, or of several that are on one scale. */
export class Stretch {
  from = 0;
  to = 1;
  /** The whole run; what lies outside of it can be come by. */
  whole: [number, number] = [0, 1];
  /** From where to where there is anything. */
  least = Infinity;
  most = -Infinity;
  readonly changed: (() => void)[] = [];

  /** Have an execution on it, and show all of it. */
  include({ wall, from, to }: Trace): void {
    const isFirst = this.least > this.most;
    this.least = Math.min(this.least, from);
    this.most = Math.max(this.most, to);
    const [start, end] = wall > 0 ? [0, wall] : [from, to];
    this.whole = isFirst ? [start, end] : [Math.min(this.whole[0], start), Math.max(this.whole[1], end)];
    [this.from, this.to] = this.whole;
  }
}

export class TimeWindow {
  constructor(
    private readonly trace: Trace,
    changed: () => void,
    readonly stretch = new Stretch(),
  ) {
    stretch.include(trace);
    stretch.changed.push(changed);
  }

  get from(): number {
    return this.stretch.from;
  }

  get to(): number {
    return this.stretch.to;
  }

  get length(): number {
    return this.to - this.from;
  }

  get middle(): number {
    return (this.from + this.to) / 2;
  }

  get isWhole(): boolean {
    const [from, to] = this.stretch.whole;
    return this.from === from && this.to === to;
  }

  /** Whether there is nothing more to be seen by zooming out. */
  get isAll(): boolean {
    return this.from <= this.stretch.least && this.to >= this.stretch.most;
  }

  /** Show a stretch of time, within what there is. */
  show(from: number, to: number): void {
    const { stretch } = this;
    const { least, most } = stretch;
    const length = Math.min(Math.max(to - from, LEAST_WINDOW), most - least);
    stretch.from = Math.min(Math.max(from, least), most - length);
    stretch.to = stretch.from + length;
    for (const changed of stretch.changed) changed();
  }

  showWhole(): void {
    this.show(...this.stretch.whole);
  }

  /** Move by a part of what is shown. */
  move(part: number): void {
    const by = part * this.length;
    this.show(this.from + by, this.to + by);
  }

  /** Show so many times as much, a time staying where it is. */
  zoom(by: number, around: number): void {
    const before = (around - this.from) / this.length;
    const length = this.length * by;
    this.show(around - before * length, around + (1 - before) * length);
  }

  /** Show a span, with a little of what is around it. */
  zoomTo(span: number): void {
    const [start, end] = [this.trace.start[span], this.trace.end[span]];
    const margin = Math.max((end - start) * 0.1, LEAST_WINDOW / 2);
    this.show(start - margin, end + margin);
  }

  /** Move to a span if nothing of it is in view. */
  bring(span: number): void {
    const [start, end] = [this.trace.start[span], this.trace.end[span]];
    if (end >= this.from && start <= this.to) return;
    const { length } = this;
    const middle = (start + Math.min(end, start + length)) / 2;
    this.show(middle - length / 2, middle + length / 2);
  }
}
