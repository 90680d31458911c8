// The generated pages name everything their tables have.

import { describe, expect, it } from 'vitest';
import { docPages } from '../../../src/config/doc-pages.ts';
import { configJsonSchema } from '../../../src/config/schema.ts';
import { errorCodes } from '../../../src/core/errors.ts';
import { limitNames } from '../../../src/core/limits.ts';
import { meterTable } from '../../../src/core/meters.ts';
import { protocolNames, protocolWords } from '../../../src/core/protocols.ts';

const pages = docPages();

describe('docPages', () => {
  it.each([
    ['config.md', [...limitNames, ...Object.keys(configJsonSchema().properties ?? {})]],
    ['errors.md', errorCodes],
    ['metrics.md', Object.keys(meterTable).map((name) => `sallyport_${name}`)],
    ['protocols.md', [...protocolNames, ...protocolWords.keys()]],
  ])('%s', (name, words) => {
    const text = pages.get(name) ?? '';
    expect(words.filter((word) => !text.includes(`\`${word}\``))).toEqual([]);
  });
  it('tables have the same number of cells in every row', () => {
    for (const [name, text] of pages) {
      if (!name.endsWith('.md')) continue;
      const cells = text.split('\n\n').filter((part) => part.startsWith('|')).map((part) => new Set(part.trim().split('\n').map((line) => line.replaceAll('\\|', '').split('|').length)));
      expect([name, cells.every((counts) => counts.size === 1)]).toEqual([name, true]);
    }
  });
  it('the JSON Schema is JSON', () => expect(JSON.parse(pages.get('config.schema.json') ?? '')).toHaveProperty('$schema'));
});
