/** The call tree beside the bars: the rows that are in view, as items of a tree. */

import { el, mark, put } from "../dom.ts";
import { grouped, human } from "../format.ts";
import { NODE, PHASE, type Trace } from "../spans.ts";
import type { Layout } from "./layout.ts";

const INDENT = 14;
const DEEPEST = 10;

/** A row as it is on the page. */
interface Drawn {
  readonly item: HTMLElement;
  readonly isFolded: boolean;
}

export class Tree {
  readonly element: HTMLElement;
  private drawn: ReadonlyMap<number, Drawn> = new Map();

  constructor(
    private readonly trace: Trace,
    private readonly id: string,
  ) {
    this.element = el("div", {
      class: "rows",
      role: "tree",
      tabindex: "0",
      "aria-label": "Call tree; the same spans as bars beside it",
    });
  }

  /** Return the row that an element is part of, and whether it is what folds it. */
  rowOf(target: EventTarget | null): { row: number; isFold: boolean } | null {
    if (!(target instanceof Element)) return null;
    const item = target.closest<HTMLElement>("[data-row]");
    if (!item) return null;
    return { row: Number(item.dataset.row), isFold: target.closest(".fold") !== null };
  }

  draw(
    layout: Layout,
    offset: number,
    height: number,
    folded: ReadonlySet<number>,
    current: number,
    found: ReadonlySet<number> | null,
  ): void {
    const items: HTMLElement[] = [];
    const drawn = new Map<number, Drawn>();
    for (let place = Math.max(0, layout.placeAt(Math.min(offset, layout.height - 1))); ; place++) {
      if (place >= layout.visible.length || layout.tops[place] - offset > height) break;
      const row = layout.visible[place];
      const isFolded = folded.has(row);
      const known = this.drawn.get(row);
      const item = known?.isFolded === isFolded ? known.item : this.item(row, isFolded);
      this.dress(item, row, row === current, found);
      drawn.set(row, { item, isFolded });
      item.style.top = `${layout.tops[place] - offset}px`;
      item.style.height = `${layout.tops[place + 1] - layout.tops[place]}px`;
      items.push(item);
    }
    this.drawn = drawn;
    // What stays is not touched: of what is taken out while a button is down on it, there is no click.
    const { children } = this.element;
    if (items.length !== children.length || items.some((item, place) => item !== children[place])) {
      this.element.replaceChildren(...items);
    }
    if (items.some((item) => item.id === this.idOf(current))) {
      this.element.setAttribute("aria-activedescendant", this.idOf(current));
    } else this.element.removeAttribute("aria-activedescendant");
  }

  private idOf(row: number): string {
    return `${this.id}-${row}`;
  }

  /** Mark a row as current, found or not. */
  private dress(item: HTMLElement, row: number, isCurrent: boolean, found: ReadonlySet<number> | null): void {
    const classes = ["row"];
    if (isCurrent) classes.push("current");
    if (found !== null) classes.push(found.has(row) ? "found" : "faded");
    if (this.trace.rows.type[row] !== PHASE) classes.push("strong");
    item.className = classes.join(" ");
    item.setAttribute("aria-selected", String(isCurrent));
  }

  private item(row: number, isFolded: boolean): HTMLElement {
    const { rows } = this.trace;
    const hasBelow = rows.end[row] > row + 1;
    const item = el("div", {
      id: this.idOf(row),
      role: "treeitem",
      "data-row": row,
      "aria-level": rows.depth[row] + 1,
      "aria-expanded": hasBelow ? String(!isFolded) : null,
    });
    item.style.paddingInlineStart = `${6 + Math.min(rows.depth[row], DEEPEST) * INDENT}px`;
    put(item, [
      el("span", { class: "fold", "aria-hidden": "true" }, hasBelow ? (isFolded ? "▸" : "▾") : ""),
      ...this.content(row, isFolded),
    ]);
    return item;
  }

  /** Return what stands in a row: its name, what it has of calls and failures, and what it took. */
  content(row: number, isFolded: boolean): (HTMLElement | null)[] {
    const { rows } = this.trace;
    const spans = rows.spans[rows.lanes[row + 1]] - rows.spans[rows.lanes[row]];
    const isElsewhere =
      rows.type[row] === PHASE && row > 0 && rows.node[row] !== rows.node[rows.parent[row]];
    const name = el("span", { class: "name", title: rows.name[row] });
    if (isElsewhere && rows.node[row] !== null) put(name, [el("span", { class: "of" }, `${rows.node[row]} / `)]);
    put(name, [rows.name[row]]);
    // What is folded away, or is the row's own: an execution does not repeat what is seen below it.
    const of = isFolded ? row : -1;
    const errors = of === row ? rows.errors[row] : this.own(rows.errors, row);
    const cancelled = of === row ? rows.cancelled[row] : this.own(rows.cancelled, row);
    const open = of === row ? rows.open[row] : this.own(rows.open, row);
    return [
      name,
      spans > 1 ? el("span", { class: "times" }, `×${grouped(spans)}`) : null,
      errors ? mark("error", errors) : null,
      cancelled ? mark("cancelled", cancelled) : null,
      open ? mark("open", open) : null,
      el("span", { class: "total" }, this.total(row)),
    ];
  }

  private total(row: number): string {
    const { rows } = this.trace;
    if (row === 0) return human(this.trace.wall);
    // Of what has not ended only that it goes on is known, and for how long.
    if (rows.calls[row] === 0 && this.own(rows.open, row) > 0) return human(this.trace.longest(row));
    return rows.calls[row] > 0 || rows.type[row] === NODE ? human(rows.total[row]) : "";
  }

  /** Return what a row has itself, of what is counted with all below it. */
  private own(counts: Uint32Array, row: number): number {
    const { rows } = this.trace;
    let own = counts[row];
    for (let below = row + 1; below < rows.end[row]; below = rows.end[below]) own -= counts[below];
    return own;
  }
}
