import { expect, test } from 'vitest';
import { benches } from '../../../bench/benches.ts';
import { partBenches } from '../../../bench/parts.ts';

test('parts have names of their own', () => {
  expect([...partBenches.keys()]).toEqual(['certs', 'policy', 'sip', 'turn']);
  expect(benches.filter(({ name }) => partBenches.has(name))).toEqual([]);
});

test.each([...partBenches])('%s shows that it works, and a smoke run reaches for nothing', async (_name, measure) => {
  const { text, missed } = await measure(true);
  const [title, head, ...rows] = text.split('\n');
  expect(title).toMatch(/^[A-Z][\w ]+: /);
  expect(head).toMatch(/\S/);
  expect(rows.length).toBeGreaterThanOrEqual(3);
  for (const row of rows) expect(row).toMatch(/ [\d.,]+$/);
  expect(missed).toEqual([]);
});
