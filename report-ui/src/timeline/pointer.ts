/** The mouse over the bars: the wheel zooms, dragging zooms or moves, a click chooses. */

import { HEAD, type Drawing } from "./drawing.ts";
import type { TimeWindow } from "./window.ts";

const WHEEL = 0.0022;
/** By less than this a pointer has not been dragged (px). */
const STILL = 4;
/** A wheel that has scrolled the page goes on doing so for as long as it does not rest (ms). */
const RESTS = 300;

export interface Reactions {
  hover: (event: MouseEvent) => void;
  leave: () => void;
  choose: (event: MouseEvent) => void;
}

export class Pointer {
  private pageScrolled = -Infinity;

  constructor(
    private readonly canvas: HTMLElement,
    private readonly selection: HTMLElement,
    private readonly window: TimeWindow,
    private readonly drawing: () => Drawing | null,
    private readonly reactions: Reactions,
  ) {
    const elsewhere = (event: WheelEvent): void => {
      const isHere = event.target instanceof Node && canvas.contains(event.target);
      if (!isHere) this.pageScrolled = event.timeStamp;
    };
    addEventListener("wheel", elsewhere, { passive: true, capture: true });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointermove", (event) => reactions.hover(event));
    canvas.addEventListener("pointerleave", () => reactions.leave());
    canvas.addEventListener("pointerdown", (event) => this.drag(event));
  }

  private wheel(event: WheelEvent): void {
    const isZoom = event.ctrlKey || event.metaKey;
    const isAside = !isZoom && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY));
    if (!isZoom && !isAside) {
      const isOut = event.deltaY > 0 && this.window.isAll;
      if (isOut || event.timeStamp - this.pageScrolled < RESTS) {
        this.pageScrolled = event.timeStamp;
        return;
      }
    }
    event.preventDefault();
    const drawing = this.drawing();
    if (!drawing) return;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    if (isAside) {
      this.window.move(((event.deltaX || event.deltaY) * lines) / drawing.width);
    } else {
      const left = event.clientX - this.canvas.getBoundingClientRect().left;
      this.window.zoom(Math.exp(event.deltaY * lines * WHEEL), drawing.timeAt(left));
    }
    this.reactions.hover(event);
  }

  private drag(event: PointerEvent): void {
    const { canvas, selection, window } = this;
    const drawing = this.drawing();
    const box = canvas.getBoundingClientRect();
    if (!drawing || event.button !== 0 || event.clientY - box.top < HEAD) return;
    const left = event.clientX - box.left;
    const { from, to, length } = window;
    const isMove = event.shiftKey;
    let isDragged = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent): void => {
      const now = moved.clientX - box.left;
      isDragged ||= Math.abs(now - left) > STILL;
      if (!isDragged) return;
      this.reactions.leave();
      if (isMove) {
        const by = ((left - now) / drawing.width) * length;
        window.show(from + by, to + by);
      } else {
        selection.hidden = false;
        selection.style.left = `${Math.min(left, now)}px`;
        selection.style.width = `${Math.abs(now - left)}px`;
      }
    };
    const end = (ended: PointerEvent): void => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
      selection.hidden = true;
      if (ended.type === "pointercancel") return;
      const now = ended.clientX - box.left;
      if (!isDragged) this.reactions.choose(ended);
      else if (!isMove) window.show(drawing.timeAt(Math.min(left, now)), drawing.timeAt(Math.max(left, now)));
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  }
}
