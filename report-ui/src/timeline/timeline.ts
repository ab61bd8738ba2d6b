/** The timeline: the call tree, the bars beside it, and how one moves about in them. */

import { el } from "../dom.ts";
import { count } from "../format.ts";
import type { Trace } from "../spans.ts";
import { onPaper } from "../paper.ts";
import { onChange } from "../theme.ts";
import { about } from "./about.ts";
import { Box } from "./box.ts";
import { Tooltip, details } from "./details.ts";
import { Drawing, HEAD, type View } from "./drawing.ts";
import { type Hit, hit } from "./hit.ts";
import { Layout } from "./layout.ts";
import { legend } from "./legend.ts";
import { outline } from "./outline.ts";
import { paper } from "./paper.ts";
import { Pointer } from "./pointer.ts";
import { type Found, find, nextOf, placeOf } from "./search.ts";
import { type Standing, standing } from "./standing.ts";
import { Tree } from "./tree.ts";
import { ZOOM, folds, tools } from "./tools.ts";
import { type Stretch, TimeWindow } from "./window.ts";

/** Of more rows than these only the first level is unfolded at first. */
const MOST_UNFOLDED = 60;
/** How near to a bar is at it (px). */
const NEAR = 4;

export class Timeline {
  readonly element: HTMLElement;
  private layout: Layout;
  private readonly folded = new Set<number>();
  private readonly tree: Tree;
  private drawing: Drawing | null = null;
  private readonly tooltip = new Tooltip();
  private readonly window: TimeWindow;
  private current = -1;
  private currentRow = 0;
  private hovered = -1;
  private found: Found | null = null;
  /** The same, with what is folded away standing for what it is folded into. */
  private standing: Standing | null = null;
  private isCriticalOnly = false;
  private isWaiting = false;

  private readonly canvas = el("div", { class: "canvas" });
  private readonly selection = el("div", { class: "selection", hidden: true });
  private readonly bars: HTMLElement;
  private readonly box: Box;
  private readonly viewport: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly hits = el("output", { class: "hits", "aria-live": "polite" });
  /** Not told by a screen reader at each step: one goes there to read it. */
  private readonly says = el("div", { class: "says" });
  private readonly about = el("div", { class: "details", role: "status", "aria-live": "polite" });

  constructor(
    private readonly trace: Trace,
    id: string,
    stretch?: Stretch,
  ) {
    this.window = new TimeWindow(trace, () => this.redraw(), stretch);
    if (trace.rows.count > MOST_UNFOLDED) this.foldAll();
    this.layout = new Layout(trace.rows, this.folded);
    this.tree = new Tree(trace, id);
    this.search = el("input", {
      type: "search",
      placeholder: "Find a node, phase, value or span id",
      "aria-label": "Find a node, phase, value or span id",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.look(this.search.value),
      onkeydown: (event: KeyboardEvent) => this.inSearch(event),
    });
    const fade = (isCriticalOnly: boolean): void => {
      this.isCriticalOnly = isCriticalOnly;
      this.redraw();
    };
    const foldButtons = folds(
      () => {
        this.foldAll();
        this.relayout();
      },
      () => {
        this.folded.clear();
        this.relayout();
      },
    );
    this.bars = el("div", { class: "bars" }, this.canvas, this.selection);
    const stage = el(
      "div",
      { class: "stage" },
      el("div", { class: "side" }, el("div", { class: "head" }, foldButtons), this.tree.element),
      this.bars,
    );
    this.box = new Box(stage, HEAD);
    this.viewport = this.box.element;
    this.element = el(
      "div",
      { class: "timeline" },
      tools(this.search, this.hits, this.window, fade),
      this.viewport,
      onPaper(() => paper(trace, this.tree, this.layout, this.window.from, this.window.to, this.folded)),
      this.about,
      this.says,
      legend(),
    );
    this.listen();
    this.tell();
  }

  /** Begin to draw; the element is in the page by now. */
  start(): void {
    const { stretch } = this.window;
    this.bars.prepend(outline(this.trace, stretch.least, stretch.most));
    this.drawing = new Drawing(this.canvas, this.trace, stretch, (from, to) => {
      if (from !== this.window.from || to !== this.window.to) this.window.show(from, to);
    });
    this.fit();
    this.draw();
    new ResizeObserver(() => {
      this.fit();
      this.draw();
    }).observe(this.viewport);
    onChange(() => {
      this.drawing?.recolour();
      this.fit();
      this.draw();
    });
  }

  /** Find a node or phase, or what failed of it, and go to the first of that. */
  reveal(node: string, phase: string | null, isFailure = false): void {
    const found = placeOf(this.trace, node, phase, isFailure);
    this.search.value = phase === null ? node : `${node} / ${phase}`;
    this.setFound(found.rows.size ? found : null);
    const first = nextOf(this.trace, found, 1, -1, -1, this.window.stretch.whole[0]);
    if (first === null) return;
    if (found.spans.size) this.hits.textContent = count(found.calls, "failed span");
    this.window.showWhole();
    this.goTo(first.row, first.span);
    this.element.scrollIntoView({ block: "nearest", behavior: "auto" });
    this.tree.element.focus({ preventScroll: true });
  }

  private foldAll(): void {
    const { rows } = this.trace;
    for (let row = 1; row < rows.count; row++) if (rows.end[row] > row + 1) this.folded.add(row);
  }

  private listen(): void {
    const { canvas, viewport } = this;
    viewport.addEventListener("scroll", () => this.redraw(), { passive: true });
    this.tree.element.addEventListener("click", (event) => {
      const hit = this.tree.rowOf(event.target);
      if (!hit) return;
      if (hit.isFold) this.fold(hit.row, !this.folded.has(hit.row));
      else this.goTo(hit.row, this.trace.nearest(hit.row, this.window.from));
    });
    this.tree.element.addEventListener("dblclick", (event) => {
      const hit = this.tree.rowOf(event.target);
      if (hit && !hit.isFold) this.fold(hit.row, !this.folded.has(hit.row));
    });
    this.tree.element.addEventListener("keydown", (event) => this.key(event));
    this.tree.element.addEventListener("focus", () => {
      if (this.current < 0) this.goTo(this.currentRow, this.trace.nearest(this.currentRow, this.window.from));
    });
    new Pointer(canvas, this.selection, this.window, () => this.drawing, {
      hover: (event) => this.hover(event),
      leave: () => this.unhover(),
      choose: (event) => this.choose(event),
    });
    canvas.addEventListener("dblclick", (event) => {
      const span = this.at(event).span;
      if (span >= 0) this.window.zoomTo(span);
    });
    addEventListener("keydown", (event) => {
      const isTyping = event.target instanceof HTMLInputElement;
      const isSeen = this.element.offsetParent !== null;
      const isTaken = event.defaultPrevented;
      if (event.key === "/" && !isTaken && isSeen && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        this.search.focus();
        this.search.select();
      }
    });
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { rows } = this.trace;
    const row = this.currentRow;
    const place = this.layout.placeOf[row];
    const actions: Record<string, () => void> = {
      ArrowDown: () => this.goToPlace(place + 1),
      ArrowUp: () => this.goToPlace(place - 1),
      PageDown: () => this.goToPlace(place + 10),
      PageUp: () => this.goToPlace(place - 10),
      ArrowRight: () => {
        if (event.shiftKey) this.window.move(0.2);
        else if (this.folded.has(row)) this.fold(row, false);
        else if (rows.end[row] > row + 1) this.goToPlace(place + 1);
      },
      ArrowLeft: () => {
        if (event.shiftKey) this.window.move(-0.2);
        else if (rows.end[row] > row + 1 && !this.folded.has(row)) this.fold(row, true);
        else if (row > 0) this.goToPlace(this.layout.placeOf[rows.parent[row]]);
      },
      "+": () => this.window.zoom(1 / ZOOM, this.focusTime()),
      "=": () => this.window.zoom(1 / ZOOM, this.focusTime()),
      "-": () => this.window.zoom(ZOOM, this.focusTime()),
      _: () => this.window.zoom(ZOOM, this.focusTime()),
      Home: () => this.window.showWhole(),
      End: () => this.goToPlace(this.layout.visible.length - 1),
      Enter: () => this.current >= 0 && this.window.zoomTo(this.current),
      ".": () => this.goAlong(1),
      ",": () => this.goAlong(-1),
      Escape: () => this.escape(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private inSearch(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.preventDefault();
      this.search.value = "";
      this.setFound(null);
      this.tree.element.focus({ preventScroll: true });
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.nextFound(event.shiftKey ? -1 : 1);
    }
  }

  private escape(): void {
    if (this.found) {
      this.search.value = "";
      this.setFound(null);
    } else if (!this.window.isWhole) {
      this.window.showWhole();
    } else {
      this.current = -1;
      this.tell();
      this.redraw();
    }
  }

  private look(text: string): void {
    const found = find(this.trace, text);
    this.setFound(found);
    if (found && found.span >= 0) {
      this.goTo(this.trace.row[found.span], found.span);
      this.window.zoomTo(found.span);
    }
    this.hits.textContent = found ? `${count(found.rows.size, "row")}, ${count(found.calls, "span")}` : "";
  }

  private setFound(found: Found | null): void {
    this.found = found;
    this.hits.textContent = found ? count(found.rows.size, "row") : "";
    this.standing = found && standing(this.trace, this.layout, found);
    this.redraw();
  }

  private nextFound(step: 1 | -1): void {
    if (!this.found) return;
    const next = nextOf(this.trace, this.found, step, this.currentRow, this.current, this.window.from);
    if (next) this.goTo(next.row, next.span);
  }

  private goToPlace(place: number): void {
    const row = this.layout.visible[Math.max(0, Math.min(place, this.layout.visible.length - 1))];
    this.goTo(row, this.trace.nearest(row, this.focusTime()));
  }

  private goAlong(step: 1 | -1): void {
    const next = this.current < 0 ? -1 : this.trace.neighbour(this.current, step);
    if (next >= 0) this.goTo(this.trace.row[next], next);
  }

  /** Make a span of a row the current one, and bring it into view. */
  private goTo(row: number, span: number): void {
    this.current = span;
    this.currentRow = row;
    this.unfold(row);
    const place = this.layout.placeOf[row];
    const [top, bottom] = [this.layout.tops[place], this.layout.tops[place + 1]];
    const height = this.viewport.clientHeight - HEAD;
    const { scrollTop } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    else if (bottom > scrollTop + height) this.viewport.scrollTop = Math.min(top, bottom - height);
    if (span >= 0) this.window.bring(span);
    this.tell();
    this.redraw();
  }

  private unfold(row: number): void {
    const { parent } = this.trace.rows;
    let isChanged = false;
    for (let at = parent[row]; at >= 0; at = parent[at]) isChanged = this.folded.delete(at) || isChanged;
    if (isChanged) this.relayout();
  }

  private fold(row: number, isFolded: boolean): void {
    if (isFolded) this.folded.add(row);
    else this.folded.delete(row);
    this.relayout();
  }

  private relayout(): void {
    this.layout = new Layout(this.trace.rows, this.folded);
    this.standing = this.found && standing(this.trace, this.layout, this.found);
    const seen = this.layout.visible[this.layout.placeOf[this.currentRow]];
    if (seen !== this.currentRow && this.current >= 0) {
      this.currentRow = seen;
      this.current = this.trace.nearest(seen, this.trace.start[this.current]);
      this.tell();
    }
    this.fit();
    this.redraw();
  }

  /** Return the time that zooming keeps in place: that of the current span, if it is in view. */
  private focusTime(): number {
    const { from, to, middle } = this.window;
    if (this.current < 0) return middle;
    const start = Math.max(from, this.trace.start[this.current]);
    const end = Math.min(to, this.trace.end[this.current]);
    return start <= end ? (start + end) / 2 : middle;
  }

  private choose(event: MouseEvent): void {
    const { row, span } = this.at(event);
    if (row < 0) return;
    this.tree.element.focus({ preventScroll: true });
    this.goTo(row, span >= 0 ? span : this.trace.nearest(row, this.timeOf(event)));
  }

  private timeOf(event: MouseEvent): number {
    const box = this.canvas.getBoundingClientRect();
    return this.drawing?.timeAt(event.clientX - box.left) ?? 0;
  }

  private at(event: MouseEvent): Hit {
    const box = this.canvas.getBoundingClientRect();
    const down = event.clientY - box.top - HEAD;
    if (down < 0 || !this.drawing) return { row: -1, span: -1, others: 0 };
    const left = event.clientX - box.left;
    const [from, time, to] = [left - NEAR, left, left + NEAR].map((x) => this.drawing?.timeAt(x) ?? 0);
    return hit(this.trace, this.layout, down + this.viewport.scrollTop, [from, time, to]);
  }

  private hover(event: MouseEvent): void {
    if (event.buttons) return;
    const { row, span, others } = this.at(event);
    const isChanged = span !== this.hovered;
    this.hovered = span;
    if (span < 0) {
      this.tooltip.hide();
    } else {
      const content = details(this.trace, span);
      if (others > 3) content.push(el("p", { class: "muted" }, `${count(others, "call")} are drawn here; zoom in to tell them apart`));
      this.tooltip.show(content, event.clientX, event.clientY);
    }
    this.canvas.style.cursor = row < 0 ? "" : span >= 0 ? "pointer" : "crosshair";
    if (isChanged) this.redraw();
  }

  private unhover(): void {
    this.tooltip.hide();
    if (this.hovered < 0) return;
    this.hovered = -1;
    this.redraw();
  }

  /** Say what there is to say of the current span. */
  private tell(): void {
    this.says.replaceChildren(...(this.current >= 0 ? about(this.trace, this.current) : []));
    if (this.current >= 0) this.about.replaceChildren(...details(this.trace, this.current));
    else this.about.replaceChildren(el("p", { class: "muted" }, "Choose a span to see what is known of it."));
  }

  private fit(): void {
    // On paper it is not there.
    if (this.viewport.offsetParent === null) return;
    this.drawing?.resize(this.canvas.clientWidth, this.box.fit(this.layout.height));
  }

  private redraw(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.draw();
    });
  }

  private draw(): void {
    const offset = this.viewport.scrollTop;
    const view: View = {
      from: this.window.from,
      to: this.window.to,
      offset,
      layout: this.layout,
      current: this.current,
      hovered: this.hovered,
      isCriticalOnly: this.isCriticalOnly,
      found: this.standing,
    };
    const height = this.viewport.clientHeight - HEAD;
    this.tree.draw(this.layout, offset, height, this.folded, this.currentRow, view.found?.rows ?? null);
    this.drawing?.draw(view);
    this.box.tell(this.layout);
    this.element.dataset.from = String(this.window.from);
    this.element.dataset.to = String(this.window.to);
  }
}
