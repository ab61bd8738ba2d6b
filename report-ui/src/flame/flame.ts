/** The flame chart: which calls the busy time went into, as an icicle that one walks down. */

import { type EChartsType, hatching, init } from "../chart.ts";
import { el } from "../dom.ts";
import { count, exact, human, percent } from "../format.ts";
import { EXECUTION, NODE, type Trace } from "../spans.ts";
import { onPaper } from "../paper.ts";
import { colours, onChange } from "../theme.ts";
import { Tooltip, labelOf } from "../timeline/details.ts";
import { runs } from "../timeline/culling.ts";
import { mixed } from "../timeline/drawing.ts";
import { type Icicle, icicle } from "./layout.ts";
import { paper } from "./paper.ts";

const LEVEL = 24;
const MOST_LEVELS = 24;
const LEAST = 1.5;
const LEAST_TEXT = 34;
const PADDING = 6;

type Item = Record<string, unknown>;

export class Flame {
  readonly element: HTMLElement;
  private readonly chart: HTMLElement;
  private readonly canvas = el("div", { class: "canvas" });
  private readonly about = el("div", { class: "details", role: "status", "aria-live": "polite" });
  private readonly tooltip = new Tooltip();
  private readonly icicle: Icicle;
  private drawing: EChartsType | null = null;
  private top = 0;
  private current = 0;
  private hovered = -1;

  constructor(private readonly trace: Trace) {
    this.icicle = icicle(trace);
    this.chart = el(
      "div",
      {
        class: "flame-chart",
        tabindex: "0",
        role: "application",
        "aria-roledescription": "flame chart",
        "aria-label": "Self time by calls. Arrows move, Enter goes into a call, Escape goes out.",
        onkeydown: (event: KeyboardEvent) => this.key(event),
      },
      this.canvas,
    );
    const note =
      "A block is as wide as the self times of a call and all that it called, added up over all calls,"
      + " also those at the same time. What of it is hatched is its own.";
    this.element = el(
      "div",
      { class: "flame" },
      el("p", { class: "muted small" }, note),
      this.chart,
      onPaper(() => paper(trace, this.icicle, this.top)),
      this.about,
    );
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => {
      this.hovered = -1;
      this.tooltip.hide();
      this.draw();
    });
    this.canvas.addEventListener("click", (event) => {
      const row = this.at(event);
      if (row >= 0) this.choose(row, row === this.current ? row : this.top);
    });
    this.canvas.addEventListener("dblclick", (event) => {
      const row = this.at(event);
      if (row >= 0) this.choose(row, row === this.top ? Math.max(0, this.trace.rows.parent[row]) : row);
    });
    this.tell();
  }

  /** Begin to draw; the element is in the page by now. */
  start(): void {
    this.drawing = init(this.canvas, null, { renderer: "canvas" });
    this.drawing.setOption({
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 0, right: 0, top: 0, bottom: 0 },
      xAxis: { type: "value", show: false, min: 0, max: 1 },
      yAxis: { type: "value", show: false, min: 0, max: 1 },
      series: [{ type: "custom", silent: true, renderItem: () => this.blocks(), data: [[0, 0]] }],
    });
    this.fit();
    new ResizeObserver(() => this.fit()).observe(this.chart);
    onChange(() => this.fit());
  }

  private fit(): void {
    // On paper it is not there.
    if (this.chart.offsetParent === null) return;
    const levels = Math.min(MOST_LEVELS, this.icicle.depth + 1);
    const height = levels * LEVEL;
    this.canvas.style.height = `${height}px`;
    this.drawing?.resize({ width: this.chart.clientWidth, height });
    this.draw();
  }

  private draw(): void {
    this.drawing?.setOption({ series: [{ data: [[0, 0]] }] });
  }

  private get width(): number {
    return this.drawing?.getWidth() ?? 1;
  }

  /** Return where a row is (px): left, width; those above the top fill all. */
  private place(row: number): [number, number] {
    const { left, width } = this.icicle;
    const { rows } = this.trace;
    if (this.top >= row && this.top < rows.end[row]) return [0, this.width];
    const scale = this.width / (width[this.top] || 1);
    return [(left[row] - left[this.top]) * scale, width[row] * scale];
  }

  /** Return the depth of the first level that is drawn. */
  private firstLevel(): number {
    return Math.max(0, this.trace.rows.depth[this.top] - Math.floor(MOST_LEVELS / 2));
  }

  private blocks(): Item {
    const { rows } = this.trace;
    const { own, width } = this.icicle;
    const tones = colours();
    const children: Item[] = [];
    const small = new Map<number, Uint8Array>();
    const first = this.firstLevel();
    for (let row = 0; row < rows.count; row++) {
      const isAbove = row <= this.top && this.top < rows.end[row];
      const isBelow = row > this.top && row < rows.end[this.top];
      const level = rows.depth[row] - first;
      if (!(isAbove || isBelow) || width[row] <= 0 || level < 0 || level >= MOST_LEVELS) {
        if (!isAbove) row = rows.end[row] - 1;
        continue;
      }
      const [left, wide] = this.place(row);
      const top = level * LEVEL;
      if (wide < LEAST) {
        if (!small.has(level)) small.set(level, new Uint8Array(Math.ceil(this.width) + 1));
        small.get(level)?.fill(1, Math.floor(left), Math.ceil(left + wide));
        row = rows.end[row] - 1;
        continue;
      }
      const fill = this.colour(row);
      children.push({
        type: "rect",
        shape: { x: left + 0.5, y: top, width: Math.max(0.5, wide - 1), height: LEVEL - 1 },
        style: {
          fill,
          opacity: isAbove && row !== this.top ? 0.55 : 1,
          stroke: row === this.current ? tones.accent : row === this.hovered ? tones.ink : "none",
          lineWidth: row === this.current ? 2.5 : 1.5,
        },
        z2: row === this.current ? 10 : 1,
      });
      const ownWide = own[row] * (this.width / (width[this.top] || 1));
      if (!isAbove && rows.end[row] > row + 1 && ownWide >= 2) {
        children.push({
          type: "rect",
          shape: { x: left + wide - ownWide, y: top, width: ownWide - 1, height: LEVEL - 1 },
          style: { fill: hatching(tones.surface, 6, 1) },
          z2: 2,
        });
      }
      if (wide >= LEAST_TEXT) {
        children.push({
          type: "text",
          style: {
            x: left + PADDING,
            y: top + (LEVEL - 1) / 2,
            text: this.text(row),
            fill: tones.nodeInk,
            fontSize: 12,
            fontFamily: getComputedStyle(document.body).fontFamily,
            verticalAlign: "middle",
            width: wide - 2 * PADDING,
            overflow: "truncate",
            ellipsis: "…",
          },
          z2: 11,
        });
      }
    }
    for (const [level, pixels] of small) {
      const numbers = runs(pixels).flatMap(([left, right]) => [left, level * LEVEL, right - left, LEVEL - 1]);
      children.push({ type: "rectangles", shape: { numbers }, style: { fill: tones.whole } });
    }
    return { type: "group", children };
  }

  private text(row: number): string {
    return `${this.trace.rows.name[row]}  ${human(Math.round(this.icicle.width[row]))}`;
  }

  /** Return a tone that the ink for texts is legible on. */
  private colour(row: number): string {
    const { rows } = this.trace;
    const { nodes, whole, surface } = colours();
    const colour = rows.type[row] === EXECUTION || rows.colour[row] < 0 ? whole : nodes[rows.colour[row] % nodes.length];
    return mixed(colour, surface, rows.type[row] === NODE ? 0.5 : 0.65);
  }

  private at(event: MouseEvent): number {
    const box = this.canvas.getBoundingClientRect();
    const level = Math.floor((event.clientY - box.top) / LEVEL) + this.firstLevel();
    const x = event.clientX - box.left;
    const { rows } = this.trace;
    for (let row = 0; row < rows.count; ) {
      const [left, wide] = this.place(row);
      const isIn = x >= left && x < left + wide && this.icicle.width[row] > 0;
      const isPart = row <= this.top ? this.top < rows.end[row] : row < rows.end[this.top];
      if (!isIn || !isPart) row = rows.end[row];
      else if (rows.depth[row] === level) return row;
      else row++;
    }
    return -1;
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { parent } = this.trace.rows;
    const row = this.current;
    const actions: Record<string, () => void> = {
      ArrowDown: () => this.choose(this.below(row)[0] ?? row),
      ArrowUp: () => this.choose(Math.max(0, parent[row]), this.top === row ? Math.max(0, parent[row]) : this.top),
      ArrowLeft: () => this.choose(this.beside(row, -1)),
      ArrowRight: () => this.choose(this.beside(row, 1)),
      Enter: () => this.choose(row, row),
      "+": () => this.choose(row, row),
      "-": () => this.choose(Math.max(0, parent[this.top]), Math.max(0, parent[this.top])),
      Escape: () => this.choose(Math.max(0, parent[this.top]), Math.max(0, parent[this.top])),
      Home: () => this.choose(0, 0),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private below(row: number): number[] {
    const { rows } = this.trace;
    const found = [];
    for (let at = row + 1; at < rows.end[row]; at = rows.end[at]) if (this.icicle.width[at] > 0) found.push(at);
    return found.sort((one, other) => this.icicle.left[one] - this.icicle.left[other]);
  }

  private beside(row: number, step: number): number {
    if (row === this.top || row === 0) return row;
    const all = this.below(this.trace.rows.parent[row]);
    return all[all.indexOf(row) + step] ?? row;
  }

  private choose(row: number, top = this.top): void {
    this.current = row;
    this.top = top;
    this.tell();
    this.draw();
  }

  private hover(event: MouseEvent): void {
    const row = this.at(event);
    if (row !== this.hovered) {
      this.hovered = row;
      this.draw();
    }
    if (row < 0) this.tooltip.hide();
    else this.tooltip.show(this.words(row), event.clientX, event.clientY);
    this.canvas.style.cursor = row < 0 ? "" : "pointer";
  }

  private tell(): void {
    this.about.replaceChildren(...this.words(this.current));
  }

  private words(row: number): HTMLElement[] {
    const { rows } = this.trace;
    const { own, width, whole } = this.icicle;
    const calls = rows.spans[rows.lanes[row + 1]] - rows.spans[rows.lanes[row]];
    const item = (name: string, value: string, title?: string): HTMLElement =>
      el("div", {}, el("dt", {}, name), el("dd", { title: title ?? null }, value));
    return [
      el("p", { class: "what" }, el("strong", {}, labelOf(this.trace, row))),
      el(
        "dl",
        {},
        item("self, with what it called", human(Math.round(width[row])), exact(Math.round(width[row]))),
        item("of all", percent(whole ? width[row] / whole : 0)),
        item("its own", human(Math.round(own[row])), exact(Math.round(own[row]))),
        ...(row > 0 ? [item("", count(calls, "call"))] : []),
      ),
    ];
  }
}
