/** The box that the timeline scrolls in: as high as its rows, up to most of the window, or as dragged. */

import { el } from "../dom.ts";
import { count } from "../format.ts";
import type { Layout } from "./layout.ts";

const LEAST = 130;
const MOST_OF_WINDOW = 0.85;
const LEAST_MOST = 320;
const BORDERS = 2;
/** What is less in view of a row than this part does not count as seen. */
const SEEN = 0.5;

export class Box {
  private readonly tall: HTMLElement;
  /** Tells how much there is below, and goes there. */
  private readonly more = el("button", { type: "button", class: "more-rows", hidden: true, onclick: () => this.onward() });
  readonly element: HTMLElement;
  private fitted = "";
  private dragged: number | null = null;

  constructor(
    private readonly stage: HTMLElement,
    private readonly head: number,
  ) {
    stage.append(this.more);
    this.tall = el("div", { class: "tall" }, stage);
    this.element = el("div", { class: "viewport" }, this.tall);
  }

  /** Make it fit so many pixels of rows; return how high it is within. */
  fit(rows: number): number {
    const { style } = this.element;
    // Whoever drags its corner sets its height, which is then neither none nor the one it was given.
    if (style.height !== "" && style.height !== this.fitted) this.dragged = parseFloat(style.height) - BORDERS;
    const whole = rows + this.head + 6;
    const most = this.dragged ?? Math.max(LEAST_MOST, innerHeight * MOST_OF_WINDOW);
    const seen = Math.round(Math.max(LEAST, Math.min(whole, most)));
    this.tall.style.height = `${whole}px`;
    this.stage.style.height = `${seen}px`;
    style.height = this.fitted = `${seen + BORDERS}px`;
    return seen;
  }

  /** Say how many rows are further down than what is in view. */
  tell(layout: Layout): void {
    const bottom = this.element.scrollTop + this.element.clientHeight - this.head;
    const last = layout.placeAt(bottom);
    const isCut = last >= 0 && bottom - layout.tops[last] < SEEN * (layout.tops[last + 1] - layout.tops[last]);
    const left = last < 0 ? 0 : layout.visible.length - last - (isCut ? 0 : 1);
    this.more.hidden = left <= 0;
    if (left > 0) this.more.textContent = `↓ ${count(left, "more row")} below`;
  }

  private onward(): void {
    this.element.scrollTop += this.element.clientHeight - this.head;
  }
}
