/** The timeline: the call tree, the bars beside it, and how one moves about in them. */

import { el } from "../dom.ts";
import { count } from "../format.ts";
import type { Trace } from "../spans.ts";
import { isPrinting, onChange } from "../theme.ts";
import { Tooltip, details } from "./details.ts";
import { Drawing, HEAD, LEAST_WINDOW, type View } from "./drawing.ts";
import { Layout } from "./layout.ts";
import { find, rowsOf } from "./search.ts";
import { Tree } from "./tree.ts";

/** Of more rows than these only the first level is unfolded at first. */
const MOST_UNFOLDED = 150;
const LEAST_VIEW = 130;
const MOST_OF_WINDOW = 0.72;
/** Canvases have their limits (px). */
const MOST_ON_PAPER = 8_000;
const ZOOM = 1.6;
const WHEEL = 0.0022;
const NEAR = 4;
const BORDERS = 2;
/** A wheel that has scrolled the page goes on doing so for as long as it does not rest (ms). */
const RESTS = 300;

export class Timeline {
  readonly element: HTMLElement;
  private layout: Layout;
  private readonly folded = new Set<number>();
  private readonly tree: Tree;
  private drawing: Drawing | null = null;
  private readonly tooltip = new Tooltip();
  private from: number;
  private to: number;
  private current = -1;
  private currentRow = 0;
  private hovered = -1;
  private found: ReadonlySet<number> | null = null;
  /** The same, with what is folded away standing for what it is folded into. */
  private shownFound: ReadonlySet<number> | null = null;
  private isCriticalOnly = false;
  private isWaiting = false;
  private pageScrolled = -Infinity;

  private readonly canvas = el("div", { class: "canvas" });
  private readonly selection = el("div", { class: "selection", hidden: true });
  private readonly tall = el("div", { class: "tall" });
  private readonly stage: HTMLElement;
  private readonly viewport: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly hits = el("output", { class: "hits", "aria-live": "polite" });
  private readonly about = el("div", { class: "details", role: "status", "aria-live": "polite" });

  constructor(
    private readonly trace: Trace,
    id: string,
  ) {
    [this.from, this.to] = this.whole();
    if (trace.rows.count > MOST_UNFOLDED) this.foldAll();
    this.layout = new Layout(trace.rows, this.folded);
    this.tree = new Tree(trace, id);
    this.search = el("input", {
      type: "search",
      placeholder: "Find a node, phase or span id",
      "aria-label": "Find a node, phase or span id",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.look(this.search.value),
      onkeydown: (event: KeyboardEvent) => this.inSearch(event),
    });
    this.stage = el(
      "div",
      { class: "stage" },
      el("div", { class: "side" }, el("div", { class: "head" }, this.folds()), this.tree.element),
      el("div", { class: "bars" }, this.canvas, this.selection),
    );
    this.tall.append(this.stage);
    this.viewport = el("div", { class: "viewport" }, this.tall);
    this.element = el("div", { class: "timeline" }, this.tools(), this.viewport, this.about, legend());
    this.listen();
    this.tell();
  }

  /** Begin to draw; the element is in the page by now. */
  start(): void {
    this.drawing = new Drawing(this.canvas, this.trace, (from, to) => {
      if (from === this.from && to === this.to) return;
      [this.from, this.to] = [from, to];
      this.redraw();
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

  /** Find a node or phase, and go to its longest row. */
  reveal(node: string, phase: string | null): void {
    const rows = rowsOf(this.trace, node, phase);
    this.search.value = phase === null ? node : `${node} / ${phase}`;
    this.setFound(rows.size ? rows : null);
    const first = [...rows][0];
    if (first === undefined) return;
    [this.from, this.to] = this.whole();
    this.goTo(first, this.trace.nearest(first, this.from));
    this.element.scrollIntoView({ block: "nearest", behavior: "auto" });
    this.tree.element.focus({ preventScroll: true });
  }

  private whole(): [number, number] {
    const { wall, from, to } = this.trace;
    return wall > 0 ? [0, wall] : [from, to];
  }

  private tools(): HTMLElement {
    const critical = el("button", {
      type: "button",
      "aria-pressed": "false",
      title: "Fade all that is not on the critical path",
      onclick: () => {
        this.isCriticalOnly = !this.isCriticalOnly;
        critical.setAttribute("aria-pressed", String(this.isCriticalOnly));
        this.redraw();
      },
    }, "Critical path");
    const button = (text: string, label: string, action: () => void): HTMLElement =>
      el("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    return el(
      "div",
      { class: "tools" },
      el("div", { class: "search" }, this.search, this.hits),
      critical,
      el(
        "div",
        { class: "joined", role: "group", "aria-label": "Zoom" },
        button("−", "Zoom out (-)", () => this.zoom(ZOOM, this.middle())),
        button("+", "Zoom in (+)", () => this.zoom(1 / ZOOM, this.middle())),
        button("Whole run", "Show the whole run (Home)", () => this.show(...this.whole())),
      ),
    );
  }

  private folds(): HTMLElement {
    const button = (text: string, label: string, action: () => void): HTMLElement =>
      el("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: action }, text);
    return el(
      "div",
      { class: "folds" },
      button("Fold", "Fold all nodes", () => {
        this.foldAll();
        this.relayout();
      }),
      button("Unfold", "Unfold all", () => {
        this.folded.clear();
        this.relayout();
      }),
    );
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
      else this.goTo(hit.row, this.trace.nearest(hit.row, this.from));
    });
    this.tree.element.addEventListener("dblclick", (event) => {
      const hit = this.tree.rowOf(event.target);
      if (hit && !hit.isFold) this.fold(hit.row, !this.folded.has(hit.row));
    });
    this.tree.element.addEventListener("keydown", (event) => this.key(event));
    this.tree.element.addEventListener("focus", () => {
      if (this.current < 0) this.goTo(this.currentRow, this.trace.nearest(this.currentRow, this.from));
    });
    addEventListener("wheel", (event) => {
      if (!(event.target instanceof Node) || !canvas.contains(event.target)) this.pageScrolled = event.timeStamp;
    }, { passive: true, capture: true });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.unhover());
    canvas.addEventListener("pointerdown", (event) => this.drag(event));
    canvas.addEventListener("dblclick", (event) => {
      const span = this.at(event).span;
      if (span >= 0) this.zoomTo(span);
    });
    addEventListener("keydown", (event) => {
      const isTyping = event.target instanceof HTMLInputElement;
      const isSeen = this.element.offsetParent !== null;
      if (event.key === "/" && isSeen && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
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
    const step = (this.to - this.from) / 5;
    const actions: Record<string, () => void> = {
      ArrowDown: () => this.goToPlace(place + 1),
      ArrowUp: () => this.goToPlace(place - 1),
      PageDown: () => this.goToPlace(place + 10),
      PageUp: () => this.goToPlace(place - 10),
      ArrowRight: () => {
        if (event.shiftKey) this.show(this.from + step, this.to + step);
        else if (this.folded.has(row)) this.fold(row, false);
        else if (rows.end[row] > row + 1) this.goToPlace(place + 1);
      },
      ArrowLeft: () => {
        if (event.shiftKey) this.show(this.from - step, this.to - step);
        else if (rows.end[row] > row + 1 && !this.folded.has(row)) this.fold(row, true);
        else if (row > 0) this.goToPlace(this.layout.placeOf[rows.parent[row]]);
      },
      "+": () => this.zoom(1 / ZOOM, this.focusTime()),
      "=": () => this.zoom(1 / ZOOM, this.focusTime()),
      "-": () => this.zoom(ZOOM, this.focusTime()),
      _: () => this.zoom(ZOOM, this.focusTime()),
      Home: () => this.show(...this.whole()),
      End: () => this.goToPlace(this.layout.visible.length - 1),
      Enter: () => this.current >= 0 && this.zoomTo(this.current),
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
    } else if (this.from !== this.whole()[0] || this.to !== this.whole()[1]) {
      this.show(...this.whole());
    } else {
      this.current = -1;
      this.tell();
      this.redraw();
    }
  }

  private look(text: string): void {
    const found = find(this.trace, text);
    this.setFound(found?.rows ?? null);
    if (found && found.span >= 0) {
      this.goTo(this.trace.row[found.span], found.span);
      this.zoomTo(found.span);
    }
    this.hits.textContent = found ? `${count(found.rows.size, "row")}, ${count(found.calls, "span")}` : "";
  }

  private setFound(rows: ReadonlySet<number> | null): void {
    this.found = rows;
    if (!rows) this.hits.textContent = "";
    else this.hits.textContent = count(rows.size, "row");
    this.shownFound = rows && this.shownOf(rows);
    this.redraw();
  }

  private nextFound(step: 1 | -1): void {
    const rows = [...(this.found ?? [])].sort((one, other) => one - other);
    if (rows.length === 0) return;
    const next =
      step > 0 ? rows.find((row) => row > this.currentRow) : rows.findLast((row) => row < this.currentRow);
    const row = next ?? (step > 0 ? rows[0] : rows[rows.length - 1]);
    this.goTo(row, this.trace.nearest(row, this.from));
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
    if (span >= 0) {
      const [start, end] = [this.trace.start[span], this.trace.end[span]];
      const length = this.to - this.from;
      if (end < this.from || start > this.to) {
        const middle = (start + Math.min(end, start + length)) / 2;
        this.show(middle - length / 2, middle + length / 2);
      }
    }
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
    this.shownFound = this.found && this.shownOf(this.found);
    const seen = this.layout.visible[this.layout.placeOf[this.currentRow]];
    if (seen !== this.currentRow && this.current >= 0) {
      this.currentRow = seen;
      this.current = this.trace.nearest(seen, this.trace.start[this.current]);
      this.tell();
    }
    this.fit();
    this.redraw();
  }

  private middle(): number {
    return (this.from + this.to) / 2;
  }

  /** Return the time that zooming keeps in place: that of the current span, if it is in view. */
  private focusTime(): number {
    if (this.current < 0) return this.middle();
    const start = Math.max(this.from, this.trace.start[this.current]);
    const end = Math.min(this.to, this.trace.end[this.current]);
    return start <= end ? (start + end) / 2 : this.middle();
  }

  private zoom(by: number, around: number): void {
    const length = (this.to - this.from) * by;
    const before = (around - this.from) / (this.to - this.from);
    this.show(around - before * length, around + (1 - before) * length);
  }

  private zoomTo(span: number): void {
    const { start, end } = this.trace;
    const margin = Math.max((end[span] - start[span]) * 0.1, LEAST_WINDOW / 2);
    this.show(start[span] - margin, end[span] + margin);
  }

  /** Show a stretch of time, within what there is. */
  private show(from: number, to: number): void {
    const { from: least, to: most } = this.trace;
    const length = Math.min(Math.max(to - from, LEAST_WINDOW), most - least);
    const start = Math.min(Math.max(from, least), most - length);
    [this.from, this.to] = [start, start + length];
    this.redraw();
  }

  private wheel(event: WheelEvent): void {
    const isZoom = event.ctrlKey || event.metaKey;
    const isAside = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!isZoom && !isAside) {
      const isOut = event.deltaY > 0 && this.from <= this.trace.from && this.to >= this.trace.to;
      if (isOut || event.timeStamp - this.pageScrolled < RESTS) {
        this.pageScrolled = event.timeStamp;
        return;
      }
    }
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const left = event.clientX - this.canvas.getBoundingClientRect().left;
    if (isAside && !isZoom) {
      const pixels = (event.deltaX || event.deltaY) * lines;
      const by = (pixels / (this.drawing?.width ?? 1)) * (this.to - this.from);
      this.show(this.from + by, this.to + by);
    } else {
      this.zoom(Math.exp(event.deltaY * lines * WHEEL), this.drawing?.timeAt(left) ?? this.middle());
    }
    this.hover(event);
  }

  private drag(event: PointerEvent): void {
    const { canvas, drawing } = this;
    const box = canvas.getBoundingClientRect();
    if (!drawing || event.button !== 0 || event.clientY - box.top < HEAD) return;
    const left = event.clientX - box.left;
    const [from, to] = [this.from, this.to];
    const isPan = event.shiftKey;
    let isMoved = false;
    canvas.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent): void => {
      const now = moved.clientX - box.left;
      isMoved ||= Math.abs(now - left) > NEAR;
      if (!isMoved) return;
      this.unhover();
      if (isPan) {
        const by = ((left - now) / drawing.width) * (to - from);
        this.show(from + by, to + by);
      } else {
        this.selection.hidden = false;
        this.selection.style.left = `${Math.min(left, now)}px`;
        this.selection.style.width = `${Math.abs(now - left)}px`;
      }
    };
    const end = (ended: PointerEvent): void => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
      this.selection.hidden = true;
      if (ended.type === "pointercancel") return;
      const now = ended.clientX - box.left;
      if (!isMoved) this.choose(ended);
      else if (!isPan) this.show(drawing.timeAt(Math.min(left, now)), drawing.timeAt(Math.max(left, now)));
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
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

  /** Return the row and the span at the pointer, and how many spans are as near. */
  private at(event: MouseEvent): { row: number; span: number; others: number } {
    const nothing = { row: -1, span: -1, others: 0 };
    const box = this.canvas.getBoundingClientRect();
    const y = event.clientY - box.top - HEAD;
    if (y < 0 || !this.drawing) return nothing;
    const { layout, trace } = this;
    const place = layout.placeAt(y + this.viewport.scrollTop);
    if (place < 0) return nothing;
    const row = layout.visible[place];
    const strips = layout.strips(row);
    const within = y + this.viewport.scrollTop - layout.tops[place] - strips.top;
    const strip = Math.max(0, Math.min(strips.count - 1, Math.floor(within / strips.height)));
    const left = event.clientX - box.left;
    const [from, to] = [this.drawing.timeAt(left - NEAR), this.drawing.timeAt(left + NEAR)];
    const time = this.drawing.timeAt(left);
    let [span, distance, others] = [-1, Infinity, 0];
    const [first, past] = layout.lanesIn(row, strip);
    for (let lane = first; lane < past; lane++) {
      let at = trace.firstEnding(lane, from);
      for (let seen = 0; at < trace.rows.spans[lane + 1] && trace.start[at] <= to; at++) {
        const off = Math.max(trace.start[at] - time, time - trace.end[at], 0);
        if (off < distance) [span, distance] = [at, off];
        others++;
        if (++seen > 10_000) break;
      }
    }
    return { row, span, others };
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
    if (this.current >= 0) this.about.replaceChildren(...details(this.trace, this.current));
    else this.about.replaceChildren(el("p", { class: "muted" }, "Choose a span to see what is known of it."));
  }

  private fit(): void {
    const height = this.layout.height + HEAD + 6;
    const most = isPrinting() ? MOST_ON_PAPER : Math.max(320, innerHeight * MOST_OF_WINDOW);
    const seen = Math.round(Math.max(LEAST_VIEW, Math.min(height, most)));
    this.tall.style.height = `${height}px`;
    this.stage.style.height = `${seen}px`;
    this.viewport.style.height = `${seen + BORDERS}px`;
    this.drawing?.resize(this.canvas.clientWidth, seen);
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
      from: this.from,
      to: this.to,
      offset,
      layout: this.layout,
      current: this.current,
      hovered: this.hovered,
      isCriticalOnly: this.isCriticalOnly,
      found: this.shownFound,
    };
    const height = this.viewport.clientHeight - HEAD;
    this.tree.draw(this.layout, offset, height, this.folded, this.currentRow, view.found);
    this.drawing?.draw(view);
    this.element.dataset.from = String(this.from);
    this.element.dataset.to = String(this.to);
  }

  /** Return rows with those that they are folded into. */
  private shownOf(rows: ReadonlySet<number>): Set<number> {
    return new Set([...rows].map((row) => this.layout.visible[this.layout.placeOf[row]]));
  }
}

function legend(): HTMLElement {
  const keys: [string, string][] = [
    ["↑ ↓", "row"],
    [", .", "call"],
    ["← →", "fold"],
    ["⇧ ← →", "move in time"],
    ["+ −", "zoom"],
    ["Enter", "zoom to the call"],
    ["Home", "whole run"],
    ["/", "find"],
    ["Esc", "back"],
  ];
  return el(
    "div",
    { class: "legend" },
    el("span", { class: "key-critical" }, "critical path"),
    el("span", { class: "key-waiting" }, "waiting, though all it depends on was done"),
    el("span", {}, el("b", { class: "error" }, "✕"), " failed"),
    el("span", {}, el("b", {}, "⊘"), " cancelled"),
    el("details", {},
      el("summary", {}, "Keys and mouse"),
      el("p", { class: "keys" },
        ...keys.flatMap(([key, what]) => [el("kbd", {}, key), ` ${what} `]),
      ),
      el("p", {}, "Wheel zooms, dragging zooms to a stretch, Shift and dragging moves, a double click zooms to a span. Spans too close to tell apart are drawn as one."),
    ),
  );
}
