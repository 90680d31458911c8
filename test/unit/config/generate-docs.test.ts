// docs/ says what the tables say; `npm run docs` mends it.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { staleDocs, writeDocs } from '../../../src/config/generate-docs.ts';

it('no page of docs/ is stale (else: npm run docs)', async () => {
  expect(await staleDocs(join(import.meta.dirname, '..', '..', '..', 'docs'))).toEqual([]);
});

it('writes what is missing or differs, and then nothing more', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'docs-'));
  try {
    expect(await writeDocs(folder)).toHaveLength(5);
    expect(await staleDocs(folder)).toEqual([]);
    await writeFile(join(folder, 'errors.md'), 'old');
    expect(await staleDocs(folder)).toEqual(['errors.md']);
    expect(await writeDocs(folder)).toEqual(['errors.md']);
    expect(await readFile(join(folder, 'errors.md'), 'utf8')).toContain('NOT_TLS');
  } finally {
    await rm(folder, { recursive: true });
  }
});
