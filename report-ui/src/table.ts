/** Tables that sort by a click on a title, of rows and rows below them. */

import { el, put } from "./dom.ts";

const SHOWN = 300;
const MORE = 1_000;

export interface Column<T> {
  key: string;
  title: string;
  /** What the column is about, for who points at its title. */
  about: string;
  /** What it sorts by; null comes last. Columns without are not sorted by. */
  value?: (row: T) => number | string | bigint | null;
  cell: (row: T) => Node | string;
  /** The number behind a cell, to the last digit. */
  exact?: (row: T) => string;
  isText?: boolean;
}

export interface Line<T> {
  row: T;
  below?: Line<T>[];
}

type Direction = "ascending" | "descending";

export interface TableOptions<T> {
  caption: string;
  columns: Column<T>[];
  lines: Line<T>[];
  sort: { key: string; direction: Direction } | null;
  /** Rows that stay at the end, whatever is sorted by. */
  last: T[];
  /** What to do with a row that is chosen. */
  open?: (row: T) => void;
}

export class SortableTable<T> {
  readonly element: HTMLElement;
  private readonly table: HTMLTableElement;
  private readonly body: HTMLTableSectionElement;
  private readonly more: HTMLButtonElement;
  private sort: { key: string; direction: Direction } | null;
  private shown = SHOWN;
  private readonly folded = new Set<Line<T>>();

  constructor(private readonly options: TableOptions<T>) {
    this.sort = options.sort;
    this.body = el("tbody");
    this.table = el(
      "table",
      { class: "numbers" },
      el("caption", { class: "spoken" }, options.caption),
      this.head(),
      this.body,
    );
    this.more = el("button", { type: "button", class: "quiet", onclick: () => this.showMore() });
    const scrolls = el(
      "div",
      { class: "scrolls", tabindex: "0", role: "region", "aria-label": options.caption },
      this.table,
    );
    this.element = el("div", { class: "table" }, beyond(scrolls), this.more);
    this.draw();
  }

  /** Show other rows in place of those that are there. */
  replace(lines: Line<T>[]): void {
    this.options.lines = lines;
    this.shown = SHOWN;
    this.draw();
  }

  private head(): HTMLTableSectionElement {
    const titles = this.options.columns.map((column) => {
      const cell = el("th", {
        scope: "col",
        class: column.isText ? "text" : null,
        "data-key": column.key,
        title: column.about,
      });
      const title = column.value
        ? el("button", { type: "button", onclick: () => this.sortBy(column) }, column.title)
        : column.title;
      put(cell, [title]);
      return cell;
    });
    return el("thead", {}, el("tr", {}, ...titles));
  }

  private sortBy(column: Column<T>): void {
    const first: Direction = column.isText ? "ascending" : "descending";
    const other: Direction = column.isText ? "descending" : "ascending";
    const isAgain = this.sort?.key === column.key && this.sort.direction === first;
    this.sort = { key: column.key, direction: isAgain ? other : first };
    this.draw();
  }

  private showMore(): void {
    this.shown += MORE;
    this.draw();
  }

  private draw(): void {
    const column = this.options.columns.find((one) => one.key === this.sort?.key);
    for (const cell of this.table.tHead?.rows[0].cells ?? []) {
      const isSorted = cell.dataset.key === column?.key;
      if (isSorted) cell.setAttribute("aria-sort", this.sort?.direction ?? "none");
      else cell.removeAttribute("aria-sort");
    }
    const rows: HTMLTableRowElement[] = [];
    let left = 0;
    const add = (lines: Line<T>[], level: number): void => {
      for (const line of this.sorted(lines, column)) {
        if (rows.length < this.shown) rows.push(this.row(line, level));
        else left++;
        if (line.below?.length && !this.folded.has(line)) add(line.below, level + 1);
      }
    };
    add(this.options.lines, 0);
    rows.push(...this.options.last.map((row) => this.row({ row }, 0, true)));
    this.body.replaceChildren(...rows);
    this.more.hidden = left === 0;
    this.more.textContent = `Show more (${left.toLocaleString("en-US")} rows are left out)`;
  }

  private sorted(lines: Line<T>[], column: Column<T> | undefined): Line<T>[] {
    const value = column?.value;
    if (!value) return lines;
    const sign = this.sort?.direction === "ascending" ? 1 : -1;
    return lines
      .map((line) => ({ line, of: value(line.row) }))
      .sort((one, other) => {
        if (one.of === null || other.of === null) return Number(one.of === null) - Number(other.of === null);
        return one.of < other.of ? -sign : one.of > other.of ? sign : 0;
      })
      .map(({ line }) => line);
  }

  private row(line: Line<T>, level: number, isLast = false): HTMLTableRowElement {
    const { columns, open } = this.options;
    const cells = columns.map((column, at) => {
      const content = column.cell(line.row);
      const exact = column.exact?.(line.row);
      if (at > 0) {
        return el("td", { class: column.isText ? "text" : null, "data-key": column.key, title: exact || null }, content);
      }
      const folds = line.below?.length ? this.fold(line) : el("span", { class: "fold" });
      const name = open && !isLast
        ? el("button", { type: "button", class: "name", title: "show in the timeline", onclick: () => open(line.row) }, content)
        : el("span", { class: "name" }, content);
      return el("th", { scope: "row", class: "text" }, el("div", { class: "named" }, folds, name));
    });
    const kind = isLast ? "last" : level > 0 ? "below" : line.below ? "group" : null;
    return el("tr", { class: kind }, ...cells);
  }

  private fold(line: Line<T>): HTMLElement {
    const isFolded = this.folded.has(line);
    return el(
      "button",
      {
        type: "button",
        class: "fold",
        "aria-expanded": String(!isFolded),
        "aria-label": "phases",
        onclick: () => {
          if (isFolded) this.folded.delete(line);
          else this.folded.add(line);
          const at = [...this.body.querySelectorAll("button.fold")].indexOf(document.activeElement as Element);
          this.draw();
          (this.body.querySelectorAll("button.fold")[at] as HTMLElement | undefined)?.focus();
        },
      },
      isFolded ? "▸" : "▾",
    );
  }
}

/** Return what scrolls sideways with a shadow and a sign at the side that has more. */
function beyond(scrolls: HTMLElement): HTMLElement {
  const element = el("div", { class: "beyond" }, el("p", { class: "cue", "aria-hidden": "true" }, "more columns →"), scrolls);
  const look = (): void => {
    const left = scrolls.scrollWidth - scrolls.clientWidth - scrolls.scrollLeft;
    element.toggleAttribute("data-more", left > 1);
  };
  scrolls.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(scrolls);
  return element;
}
