import { expect, test } from 'vitest';
import { benches } from '../../../bench/benches/index.ts';
import type { Measured } from '../../../bench/bench.ts';
import { table } from '../../../bench/report.ts';
import { resultOf } from '../../../bench/results.ts';
import type { PeerRounds } from '../../../bench/rounds.ts';

const measured = (value: number): Measured => ({ value, aside: { 'per second': 1000 / value } });
const [bench] = benches;

function rounds(peer: string, values: (number | null)[], failure: string | null = null): PeerRounds {
  return { peer, about: '', rounds: values.map((value) => (value === null ? null : measured(value))), failure };
}

test('medians, ratios round by round, and who did not finish', () => {
  if (bench === undefined) throw new Error('no bench');
  const result = resultOf({ bench, peers: [rounds('Sallyport', [2, 2, 3]), rounds('Slow', [4, 4, 6]), rounds('Broken', [null, null, null], 'it ended'), rounds('Shaky', [null, 8, 12], 'no page')] });
  expect(result.peers.map(({ peer, summary, ratio }) => [peer, summary?.median ?? null, ratio])).toEqual([
    ['Sallyport', 2, null], ['Slow', 4, 0.5], ['Broken', null, null], ['Shaky', 10, 0.25],
  ]);
  expect(result.peers[0]?.aside).toEqual({ 'per second': 500 });
  const text = table(result);
  expect(text).toMatch(/^Slow +4\.00 +.*0\.50 +250$/m);
  expect(text).toMatch(/^Broken +did not finish$/m);
  expect(text).toContain('Broken: 3 of 3 rounds did not finish: it ended');
  expect(text).toContain('Shaky: 1 of 3 rounds did not finish: no page');
});
