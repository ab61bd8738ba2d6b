/** Numbers in the units that people read, the very same as `phasetrace.rendering` has them. */

import type { Ns } from "./document.ts";

const US = 1_000n;
const MS = 1_000_000n;
const S = 1_000_000_000n;

function divided(number: bigint, by: bigint): bigint {
  return (number + by / 2n) / by;
}

function decimal(digits: bigint, unit: bigint): string {
  const whole = digits / unit;
  const decimals = 3 - whole.toString().length;
  if (decimals <= 0) return whole.toString();
  const rest = ((digits % unit) * 10n ** BigInt(decimals)) / unit;
  return `${whole}.${rest.toString().padStart(decimals, "0")}`;
}

/** Return a duration in 3 significant digits: `850µs`, `4.70ms`, `12.3s`, `2m03s`. */
export function human(duration: Ns | bigint): string {
  const ns = BigInt(typeof duration === "number" ? Math.round(duration) : duration);
  if (ns < 0n) return `-${human(-ns)}`;
  const unit = 10n ** BigInt(Math.max(0, ns.toString().length - 3));
  const digits = divided(ns, unit) * unit;
  if (digits === 0n) return "0s";
  if (digits < US) return `${digits}ns`;
  if (digits < MS) return `${decimal(digits, US)}µs`;
  if (digits < S) return `${decimal(digits, MS)}ms`;
  if (digits < 60n * S) return `${decimal(digits, S)}s`;
  const two = (number: bigint): string => number.toString().padStart(2, "0");
  const seconds = divided(ns, S);
  if (seconds < 3_600n) return `${seconds / 60n}m${two(seconds % 60n)}s`;
  const minutes = divided(ns, 60n * S);
  if (minutes < 24n * 60n) return `${minutes / 60n}h${two(minutes % 60n)}m`;
  const hours = divided(ns, 3_600n * S);
  return `${hours / 24n}d${two(hours % 24n)}h`;
}

/** Return a change of a duration, with its sign. */
export function signed(change: Ns): string {
  return Number(change) > 0 ? `+${human(change)}` : human(change).replace("-", "−");
}

/** Return a whole number with separators of thousands. */
export function grouped(number: Ns): string {
  return BigInt(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Return a duration to the nanosecond. */
export function exact(duration: Ns): string {
  return `${grouped(duration)} ns`;
}

/** Return a part of a whole in percent, to a tenth. */
export function percent(part: number): string {
  return `${(part * 100).toFixed(1)}%`;
}

/** Return a change in percent; of what is many times as much, in times. */
export function changed(change: number): string {
  if (change >= 9) return `×${Number((change + 1).toPrecision(3))}`;
  return change >= 0 ? `+${percent(change)}` : percent(change).replace("-", "−");
}

/** Return what something cost. */
export function money(cost: number | null): string {
  if (cost === null) return "";
  return cost >= 100 ? cost.toFixed(2) : `${Number(cost.toPrecision(4))}`;
}

/** Return a part of a whole, both possibly beyond 2^53. */
export function part(of: Ns, whole: Ns): number {
  const all = Number(whole);
  return all > 0 ? Number(of) / all : 0;
}

/** Return a number of things: `1 span`, `12 spans`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${grouped(number)} ${number === 1 ? one : many}`;
}
