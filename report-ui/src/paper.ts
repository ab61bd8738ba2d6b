/**
 * What is put on paper in place of the charts.
 *
 * A canvas has the width of the window, and nobody knows that of the paper beforehand: what is printed
 * is made of elements that fit any width. They are there only while the page is printed, whoever asks
 * for that: a person, a program, or a tool that looks at the page as it would be on paper.
 */

import { el } from "./dom.ts";

const paper = matchMedia("print");

/** Return an element that is filled whenever the page goes to paper. */
export function onPaper(make: () => Node[]): HTMLElement {
  const element = el("div", { class: "paper" });
  const fill = (): void => element.replaceChildren(...make());
  const clear = (): void => {
    if (!paper.matches) element.replaceChildren();
  };
  addEventListener("beforeprint", fill);
  addEventListener("afterprint", clear);
  paper.addEventListener("change", (event) => (event.matches ? fill() : clear()));
  if (paper.matches) queueMicrotask(fill);
  return element;
}
