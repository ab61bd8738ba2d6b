/** Numbers that come as the difference of each to the one before it. */

/** Return the numbers that deltas stand for. */
export function sums(deltas: readonly number[]): number[] {
  let sum = 0;
  return deltas.map((delta) => (sum += delta));
}
