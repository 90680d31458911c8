// Writes the generated pages of docs/: `npm run docs`, or with `--check` only says which are stale. The texts come from doc-pages.ts.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { docPages } from './doc-pages.ts';

/** Names of pages in `folder` that are missing or differ from what the tables say now. */
export async function staleDocs(folder: string): Promise<string[]> {
  const stale: string[] = [];
  for (const [name, text] of docPages()) {
    const stored = await readFile(join(folder, name), 'utf8').catch(() => null);
    if (stored !== text) stale.push(name);
  }
  return stale;
}

/** Writes every page that is stale; answers their names. */
export async function writeDocs(folder: string): Promise<string[]> {
  const stale = await staleDocs(folder);
  await mkdir(folder, { recursive: true });
  for (const name of stale) await writeFile(join(folder, name), docPages().get(name) ?? '');
  return stale;
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '..', '..', 'docs');
  const check = process.argv.includes('--check');
  const stale = await (check ? staleDocs(folder) : writeDocs(folder));
  if (stale.length > 0) process.stdout.write(`${check ? 'stale, run npm run docs' : 'written'}: ${stale.join(', ')}\n`);
  process.exitCode = check && stale.length > 0 ? 1 : 0;
}
