/** Round times for an axis, and how they are written. */

const S = 1e9;
const LONG = [15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];

/** Return the distance of ticks, round and at least so long (ns). */
export function stepOf(least: number): number {
  if (least > 10 * S) {
    const found = LONG.find((seconds) => seconds * S >= least);
    if (found) return found * S;
    return decimal(least / (86_400 * S)) * 86_400 * S;
  }
  return Math.max(1, decimal(least));
}

function decimal(least: number): number {
  const unit = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((times) => times * unit).find((step) => step >= least * 0.999_999) ?? 10 * unit;
}

/** Return the round times of a window, at most so many. */
export function ticks(from: number, to: number, most: number): { step: number; at: number[] } {
  const step = stepOf((to - from) / Math.max(1, most));
  const at = [];
  for (let number = Math.ceil(from / step); number * step <= to; number++) at.push(number * step);
  return { step, at };
}

/** Return a time after the start as it stands at an axis with ticks of a distance, to in view. */
export function tickText(time: number, step: number, to: number): string {
  if (time === 0) return "0";
  const sign = time < 0 ? "−" : "";
  const size = Math.abs(time);
  const most = Math.max(Math.abs(to), size);
  if (most >= 60 * S) return sign + clock(size, step);
  const [unit, name] = most >= S ? [S, "s"] : most >= 1e6 ? [1e6, "ms"] : most >= 1e3 ? [1e3, "µs"] : [1, "ns"];
  const decimals = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return `${sign}${(size / unit).toFixed(decimals)}${name}`;
}

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "m"]] as const;

/** Return a time in days, hours, minutes and seconds, down to what the step is made of. */
function clock(size: number, step: number): string {
  const decimals = step >= S ? 0 : Math.ceil(-Math.log10(step / S) - 1e-9);
  const scale = 10 ** decimals;
  let rest = Math.round((size / S) * scale);
  let text = "";
  for (const [seconds, name] of UNITS) {
    const number = Math.floor(rest / (seconds * scale));
    rest -= number * seconds * scale;
    if (number > 0 || text !== "") text += `${text === "" ? number : two(number)}${name}`;
    if (step % (seconds * S) === 0) return text;
  }
  const seconds = (rest / scale).toFixed(decimals);
  return `${text}${text !== "" && rest < 10 * scale ? "0" : ""}${seconds}s`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
