/** The bars of the timeline on a canvas: an ECharts chart with an axis, a slider, and a row an item. */

import { type EChartsType, hatching, init } from "../chart.ts";
import type { Trace } from "../spans.ts";
import { EXECUTION, NODE } from "../spans.ts";
import { type Colours, colours } from "../theme.ts";
import { type Overlays, type Scale, bars, overlays, seenIn, x } from "./culling.ts";
import type { Layout } from "./layout.ts";
import type { Standing } from "./standing.ts";
import { Subset, onCriticalPath } from "./subset.ts";
import { tickText, ticks } from "./ticks.ts";
import { LEAST_WINDOW, type Stretch } from "./window.ts";

/** What is above the rows: the slider and the axis. */
export const HEAD = 52;
const SLIDER = 18;
const SIDE = 10;
const TICK_WIDTH = 96;
/** How much of the surface's colour is in the bars of nodes: those of their phases have none. */
const NODE_TINT = 0.45;

export interface View {
  from: number;
  to: number;
  /** How far down the rows are scrolled (px). */
  offset: number;
  layout: Layout;
  current: number;
  hovered: number;
  isCriticalOnly: boolean;
  /** What is looked for, null if nothing is. */
  found: Standing | null;
}

type Item = Record<string, unknown>;

export class Drawing {
  private readonly chart: EChartsType;
  private view: View | null = null;
  private overlay: Overlays | null = null;
  private first = 0;
  private past = 0;
  private colours: Colours = colours();
  private onPath: Subset | null = null;

  constructor(
    element: HTMLElement,
    private readonly trace: Trace,
    private readonly stretch: Stretch,
    onWindow: (from: number, to: number) => void,
  ) {
    this.chart = init(element, null, { renderer: "canvas" });
    this.chart.setOption(this.options());
    this.chart.on("datazoom", () => {
      const [from, to] = this.window();
      onWindow(from, to);
    });
  }

  /** Draw what is to be seen. */
  draw(view: View): void {
    this.view = view;
    const { layout, offset, from, to } = view;
    const height = this.chart.getHeight() - HEAD;
    this.first = Math.max(0, layout.placeAt(Math.min(offset, layout.height - 1)));
    const last = layout.placeAt(offset + height);
    this.past = last < 0 ? layout.visible.length : last + 1;
    const most = Math.max(2, Math.floor(this.width / TICK_WIDTH));
    const { step, at } = ticks(from, to, most);
    const label = (value: number): string => tickText(value, step, to);
    this.overlay = null;
    this.chart.setOption({
      xAxis: {
        axisLabel: { customValues: at, formatter: label },
        axisTick: { customValues: at },
      },
      dataZoom: [{ startValue: from, endValue: to }],
      series: [
        { id: "rows", data: Array.from({ length: this.past - this.first }, () => [0, 0]) },
        { id: "above", data: [[0, 0]] },
      ],
    });
  }

  resize(width: number, height: number): void {
    this.chart.resize({ width, height });
  }

  /** Take the colours as they are now; draw afterwards. */
  recolour(): void {
    this.colours = colours();
    this.chart.setOption(this.options());
  }

  dispose(): void {
    this.chart.dispose();
  }

  /** Return the time at a place from the left (px). */
  timeAt(left: number): number {
    const { from, to } = this.view ?? { from: 0, to: 1 };
    return from + ((left - SIDE) / this.width) * (to - from);
  }

  /** Return where a time is (px). */
  placeOf(time: number): number {
    return x(this.scale(), time);
  }

  get width(): number {
    return Math.max(1, this.chart.getWidth() - 2 * SIDE);
  }

  private window(): [number, number] {
    const zoom = (this.chart.getOption() as { dataZoom: { startValue: number; endValue: number }[] })
      .dataZoom[0];
    return [zoom.startValue, zoom.endValue];
  }

  private scale(): Scale {
    const { from, to } = this.view ?? { from: 0, to: 1 };
    return { from, to, left: SIDE, width: this.width };
  }

  private options(): Item {
    const { muted, faint, line, accent, surface } = this.colours;
    const handle = { color: surface, borderColor: muted };
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: SIDE, right: SIDE, top: HEAD, bottom: 0 },
      xAxis: {
        type: "value",
        position: "top",
        min: this.stretch.least,
        max: this.stretch.most,
        axisLine: { show: true, onZero: false, lineStyle: { color: line } },
        axisTick: { show: true, length: 4, lineStyle: { color: line } },
        axisLabel: { color: muted, fontSize: 11, margin: 7, hideOverlap: true },
        splitLine: { show: false },
      },
      yAxis: { type: "value", show: false, min: 0, max: 1 },
      dataZoom: [
        {
          type: "slider",
          xAxisIndex: 0,
          filterMode: "none",
          top: 4,
          height: SLIDER,
          left: SIDE,
          right: SIDE,
          showDetail: false,
          showDataShadow: false,
          minValueSpan: LEAST_WINDOW,
          backgroundColor: "transparent",
          borderColor: line,
          borderRadius: 3,
          fillerColor: faint,
          handleStyle: handle,
          moveHandleSize: 0,
          handleSize: "110%",
          brushStyle: { color: faint },
          emphasis: { handleStyle: { color: surface, borderColor: accent } },
          throttle: 0,
        },
      ],
      series: [
        this.series("rows", (params) => this.row(params.dataIndex)),
        this.series("above", () => this.above()),
      ],
    };
  }

  private series(id: string, item: (params: { dataIndex: number }) => Item): object {
    return {
      id,
      type: "custom",
      silent: true,
      animation: false,
      renderItem: item,
      data: [],
    };
  }

  /** The spans on the critical path. */
  private get critical(): Subset {
    return (this.onPath ??= new Subset(this.trace, onCriticalPath(this.trace)));
  }

  /** Return what is drawn of a visible row. */
  private row(number: number): Item {
    const { view, trace } = this;
    const place = this.first + number;
    if (!view || place >= this.past) return { type: "group", children: [] };
    const { layout } = view;
    const row = layout.visible[place];
    const scale = this.scale();
    const overlay = (this.overlay ??= overlays(trace, layout, this.first, this.past, view.offset - HEAD, scale));
    const top = HEAD + layout.tops[place] - view.offset;
    const height = layout.tops[place + 1] - layout.tops[place];
    const isFaded = view.found !== null && !view.found.rows.has(row);
    const isPartly = view.found?.partly.has(row) ?? false;
    // The spans that stand out of the row, if not all do.
    const strong = isPartly ? view.found?.spans : view.isCriticalOnly ? this.critical : undefined;
    const { ink, error, muted, surface } = this.colours;
    const critical = overlay.critical[number];
    const isThin = layout.strips(row).height < 8;
    const isCurrent = view.current >= 0 && layout.placeOf[trace.row[view.current]] === place;
    const style = {
      fill: this.colour(row, NODE_TINT),
      stroke: this.trace.rows.type[row] === NODE && !isThin ? this.colour(row, 0) : "none",
      lineWidth: 1,
    };
    return {
      type: "group",
      clipPath: this.below(),
      children: [
        shape("rectangles", isCurrent ? [0, top, this.chart.getWidth(), height] : [], {
          fill: this.colours.faint,
        }),
        shape("rectangles", bars(trace, layout, row, top, scale), {
          ...style,
          opacity: isFaded ? 0.18 : strong ? 0.25 : 1,
        }),
        shape("rectangles", strong && !isFaded ? bars(strong, layout, row, top, scale) : [], style),
        shape("rectangles", overlay.waiting[number], {
          fill: hatching(muted),
          stroke: ink,
          lineWidth: 1,
          lineDash: [3, 2],
          opacity: isFaded ? 0.3 : 1,
        }),
        shape("rectangles", critical, {
          fill: isThin ? ink : hatching(surface, 6, 1.4),
          stroke: ink,
          lineWidth: isThin ? 0 : 1.6,
          opacity: isFaded ? 0.3 : 1,
        }),
        shape("rectangles", overlay.brief[number], { fill: ink, opacity: isFaded ? 0.3 : 1 }),
        ...this.marks("crosses", overlay.errors[number], error),
        ...this.marks("rings", overlay.cancelled[number], ink),
        ...this.marks("arrows", overlay.open[number], ink),
      ],
    };
  }

  /** Return marks, with a margin around each that tells it from what is below it. */
  private marks(type: string, places: number[], colour: string): Item[] {
    const line = { fill: "none", lineCap: "round" };
    return [
      shape(type, places, { ...line, stroke: this.colours.surface, lineWidth: 5 }),
      shape(type, places, { ...line, stroke: colour, lineWidth: 2 }),
    ];
  }

  /** Return what is drawn above all rows: the chain of the critical path, and what is pointed at. */
  private above(): Item {
    const { view } = this;
    if (!view) return { type: "group", children: [] };
    const { ink, accent } = this.colours;
    return {
      type: "group",
      clipPath: this.below(),
      children: [
        shape("lines", this.overlay?.chain ?? [], { fill: "none", stroke: ink, lineWidth: 0.8, opacity: 0.55 }),
        shape("rectangles", this.frame(view, view.hovered), { fill: "none", stroke: ink, lineWidth: 1.5 }),
        shape("rectangles", this.frame(view, view.current), { fill: "none", stroke: accent, lineWidth: 2.5 }),
      ],
    };
  }

  /** Return what rows are cut to: they scroll below the axis. */
  private below(): Item {
    const [width, height] = [this.chart.getWidth(), this.chart.getHeight()];
    return { type: "rect", shape: { x: 0, y: HEAD, width, height: height - HEAD } };
  }

  private frame(view: View, span: number): number[] {
    if (span < 0) return [];
    const { trace } = this;
    const { layout } = view;
    const place = layout.placeOf[trace.row[span]];
    const seen = seenIn(trace, layout, span);
    if (seen < 0) return [];
    const row = layout.visible[place];
    const scale = this.scale();
    const left = x(scale, trace.start[seen]);
    const width = Math.max(3, x(scale, trace.end[seen]) - left);
    const top = HEAD + layout.tops[place] - view.offset + layout.laneTop(row, trace.lane[seen]);
    return [left - 1.5, top - 1.5, width + 3, layout.strips(row).bar + 3];
  }

  private colour(row: number, tint: number): string {
    const { rows } = this.trace;
    if (rows.type[row] === EXECUTION || rows.colour[row] < 0) return this.colours.whole;
    const colour = this.colours.nodes[rows.colour[row] % this.colours.nodes.length];
    return rows.type[row] === NODE ? mixed(colour, this.colours.surface, tint) : colour;
  }
}

function shape(type: string, numbers: number[], style: object): Item {
  return { type, shape: { numbers }, style };
}

/** Return a colour with so much of another one in it. */
export function mixed(one: string, other: string, part: number): string {
  const [a, b] = [one, other].map((text) => (text.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number));
  return `rgb(${a.map((value, at) => Math.round(value * (1 - part) + b[at] * part)).join(",")})`;
}
