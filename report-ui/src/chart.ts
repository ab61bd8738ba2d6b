/** The parts of Apache ECharts that the charts are made of, and shapes of many rectangles in one. */

import { CustomChart } from "echarts/charts";
import { DataZoomSliderComponent, GridComponent } from "echarts/components";
import { graphic, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([CustomChart, GridComponent, DataZoomSliderComponent, CanvasRenderer]);

export { init };
export type { EChartsType } from "echarts/core";

interface Numbers {
  numbers: number[];
}

type Path = CanvasRenderingContext2D;

// One path for all rectangles of a colour: a canvas draws thousands of them at once.
graphic.registerShape(
  "rectangles",
  graphic.extendShape({
    shape: { numbers: [] as number[] },
    buildPath(path: Path, { numbers }: Numbers): void {
      for (let at = 0; at < numbers.length; at += 4) {
        path.rect(numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]);
      }
    },
  }) as never,
);

/** A cross at each place, in the middle of its height. */
graphic.registerShape(
  "crosses",
  graphic.extendShape({
    shape: { numbers: [] as number[] },
    buildPath(path: Path, { numbers }: Numbers): void {
      for (let at = 0; at < numbers.length; at += 4) {
        const [x, y, r] = middle(numbers, at);
        path.moveTo(x - r, y - r);
        path.lineTo(x + r, y + r);
        path.moveTo(x - r, y + r);
        path.lineTo(x + r, y - r);
      }
    },
  }) as never,
);

/** A ring with a bar through it. */
graphic.registerShape(
  "rings",
  graphic.extendShape({
    shape: { numbers: [] as number[] },
    buildPath(path: Path, { numbers }: Numbers): void {
      for (let at = 0; at < numbers.length; at += 4) {
        const [x, y, r] = middle(numbers, at);
        path.moveTo(x + r, y);
        path.arc(x, y, r, 0, 2 * Math.PI);
        path.moveTo(x - 0.7 * r, y + 0.7 * r);
        path.lineTo(x + 0.7 * r, y - 0.7 * r);
      }
    },
  }) as never,
);

/** An arrow head that points on. */
graphic.registerShape(
  "arrows",
  graphic.extendShape({
    shape: { numbers: [] as number[] },
    buildPath(path: Path, { numbers }: Numbers): void {
      for (let at = 0; at < numbers.length; at += 4) {
        const [x, y, r] = middle(numbers, at);
        path.moveTo(x - r, y - r);
        path.lineTo(x + r, y);
        path.lineTo(x - r, y + r);
        path.closePath();
      }
    },
  }) as never,
);

/** Lines from a place to another one. */
graphic.registerShape(
  "lines",
  graphic.extendShape({
    shape: { numbers: [] as number[] },
    buildPath(path: Path, { numbers }: Numbers): void {
      for (let at = 0; at < numbers.length; at += 4) {
        path.moveTo(numbers[at], numbers[at + 1]);
        path.lineTo(numbers[at + 2], numbers[at + 3]);
      }
    },
  }) as never,
);

function middle(numbers: number[], at: number): [number, number, number] {
  const height = numbers[at + 3];
  return [numbers[at], numbers[at + 1] + height / 2, Math.min(4, Math.max(2, height / 2 - 2))];
}

const patterns = new Map<string, HTMLCanvasElement>();

/** Return a hatching of a colour, which goes for a fill. */
export function hatching(colour: string, distance = 6, width = 1.5): { image: HTMLCanvasElement; repeat: "repeat" } {
  const key = `${colour} ${distance} ${width}`;
  let image = patterns.get(key);
  if (!image) {
    image = document.createElement("canvas");
    image.width = image.height = distance;
    const context = image.getContext("2d");
    if (context) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const at of [-distance, 0, distance]) {
        context.moveTo(at - 1, distance + 1);
        context.lineTo(at + distance + 1, -1);
      }
      context.stroke();
    }
    patterns.set(key, image);
  }
  return { image, repeat: "repeat" };
}
