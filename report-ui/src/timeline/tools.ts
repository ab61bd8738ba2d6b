/** The buttons above the timeline, and those that fold the call tree. */

import { el } from "../dom.ts";
import type { TimeWindow } from "./window.ts";

/** How many times as much, or less, is shown by one step. */
export const ZOOM = 1.6;

/** Return the tools, beside a search of the caller's; `fade` is told whether all else is to fade. */
export function tools(
  search: HTMLElement,
  hits: HTMLElement,
  window: TimeWindow,
  fade: (isCriticalOnly: boolean) => void,
): HTMLElement {
  let isPressed = false;
  const press = (): void => {
    isPressed = !isPressed;
    critical.setAttribute("aria-pressed", String(isPressed));
    fade(isPressed);
  };
  const title = "Fade all that is not on the critical path";
  const critical = el(
    "button",
    { type: "button", "aria-pressed": "false", title, onclick: press },
    "Critical path",
  );
  return el(
    "div",
    { class: "tools" },
    el("div", { class: "search" }, search, hits),
    critical,
    el(
      "div",
      { class: "joined", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out (-)", () => window.zoom(ZOOM, window.middle)),
      button("+", "Zoom in (+)", () => window.zoom(1 / ZOOM, window.middle)),
      button("Whole run", "Show the whole run (Home)", () => window.showWhole()),
    ),
  );
}

/** Return what folds and unfolds everything. */
export function folds(fold: () => void, unfold: () => void): HTMLElement {
  return el(
    "div",
    { class: "folds" },
    button("Fold", "Fold all nodes", fold, "quiet"),
    button("Unfold", "Unfold all", unfold, "quiet"),
  );
}

function button(text: string, label: string, action: () => void, kind?: string): HTMLElement {
  return el(
    "button",
    { type: "button", class: kind, "aria-label": label, title: label, onclick: action },
    text,
  );
}
