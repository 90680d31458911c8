import { expect, test } from 'vitest';
import { benches } from '../../../bench/benches/index.ts';
import { socketOwners } from '../../../bench/benches/workers.ts';
import { parts } from '../../../bench/parts.ts';

test('benches and parts have different names', () => {
  const names = [...benches, ...parts].map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test.each(benches.map((bench) => [bench.name, bench] as const))('%s: Sallyport comes first, and every contestant has a name of its own', (_, { contestants }) => {
  const names = contestants.map(({ peer }) => peer.name);
  expect(contestants[0]?.peer.slug).toBe('sallyport');
  expect(new Set(names).size).toBe(names.length);
});

test('sockets are counted by the process that has them', () => {
  const listing = [
    '0 0 [::ffff:10.77.2.100]:8501 [::ffff:10.77.1.2]:50000 users:(("node",pid=71,fd=31))',
    '0 0 [::ffff:10.77.2.100]:8501 [::ffff:10.77.1.2]:50001 users:(("node",pid=72,fd=30))',
    '0 0 [::ffff:10.77.2.100]:8501 [::ffff:10.77.1.2]:50002 users:(("node",pid=71,fd=33))',
    '0 0 [::ffff:10.77.2.100]:8501 [::ffff:10.77.1.2]:50003',
  ].join('\n');
  expect([...socketOwners(listing)]).toEqual([[71, 2], [72, 1]]);
});
