// Medians, spreads and ratios of a few rounds. Pure arithmetic.

/** What several rounds of one measurement say together. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Half the width between the quartiles, as a share of the median: how far a round is usually off. */
  readonly spread: number;
}

/** The quantile of the values (0 to 1), between neighbours by proportion; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)] ?? NaN;
  const above = sorted[Math.ceil(position)] ?? NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** Null when no round came to an end. */
export function summarise(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const median = quantile(values, 0.5);
  const halfWidth = (quantile(values, 0.75) - quantile(values, 0.25)) / 2;
  return { median, low: Math.min(...values), high: Math.max(...values), spread: median === 0 ? 0 : halfWidth / median };
}

/**
 * The median over rounds of ours divided by theirs: both of a pair were measured one after the other, so that what the machine did in
 * that round weighs on both. Null without a round that both finished.
 */
export function pairedRatio(ours: readonly (number | null)[], theirs: readonly (number | null)[]): number | null {
  const ratios = ours.flatMap((own, round) => {
    const other = theirs[round];
    return own === null || other === null || other === undefined || other === 0 ? [] : [own / other];
  });
  return ratios.length === 0 ? null : quantile(ratios, 0.5);
}
