/** The stretch of time that is shown, and how it is moved, widened and narrowed. */

import type { Trace } from "../spans.ts";

export const LEAST_WINDOW = 50;

export class TimeWindow {
  from: number;
  to: number;

  constructor(
    private readonly trace: Trace,
    private readonly changed: () => void,
  ) {
    [this.from, this.to] = this.whole;
  }

  /** The whole run; what lies outside of it can be come by. */
  get whole(): [number, number] {
    const { wall, from, to } = this.trace;
    return wall > 0 ? [0, wall] : [from, to];
  }

  get length(): number {
    return this.to - this.from;
  }

  get middle(): number {
    return (this.from + this.to) / 2;
  }

  get isWhole(): boolean {
    const [from, to] = this.whole;
    return this.from === from && this.to === to;
  }

  /** Whether there is nothing more to be seen by zooming out. */
  get isAll(): boolean {
    return this.from <= this.trace.from && this.to >= this.trace.to;
  }

  /** Show a stretch of time, within what there is. */
  show(from: number, to: number): void {
    const { from: least, to: most } = this.trace;
    const length = Math.min(Math.max(to - from, LEAST_WINDOW), most - least);
    this.from = Math.min(Math.max(from, least), most - length);
    this.to = this.from + length;
    this.changed();
  }

  showWhole(): void {
    this.show(...this.whole);
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
