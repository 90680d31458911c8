import { expect, test } from 'vitest';
import { parts } from '../../../bench/parts.ts';

test.each(parts.map((part) => [part.name, part] as const))('%s shows that it works, and a smoke run reaches for nothing', async (_name, part) => {
  const { text, missed } = await part.run(true);
  const [title, head, ...rows] = text.split('\n');
  expect(title).toMatch(/^[A-Z][\w ]+: /);
  expect(head).toMatch(/\S/);
  expect(rows.length).toBeGreaterThanOrEqual(3);
  for (const row of rows) expect(row).toMatch(/ [\d.,]+( |$)/);
  expect(missed).toEqual([]);
}, 60_000);
