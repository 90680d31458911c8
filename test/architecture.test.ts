// Holds the shape of the source: floors, no circles, mirrored tests, no second list of protocols, documented codes and limits.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorCodes } from '../src/core/errors.ts';
import { limitNames } from '../src/core/limits.ts';
import { meterTable } from '../src/core/meters.ts';
import { protocolNames } from '../src/core/protocols.ts';

const root = normalize(join(import.meta.dirname, '..'));
const sources = filesBelow('src').filter((file) => file.endsWith('.ts'));

/** Floor of each folder of src; files directly in src are on floor 3. */
const floors: Readonly<Record<string, number>> = {
  core: 0,
  listener: 1, tls: 1, http: 1, sip: 1, turn: 1, policy: 1, certs: 1, sessions: 1, config: 1, net: 1,
  handoff: 2, admin: 2,
  commands: 3, '.': 3,
};

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function text(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Files of src that a file imports, types included. */
function importsOf(file: string): string[] {
  return [...text(file).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+\.ts)'/g)].map(([, path]) => normalize(join(dirname(file), path ?? '')));
}

function folderOf(file: string): string {
  const [, folder, rest] = file.split('/');
  return rest === undefined ? '.' : (folder ?? '.');
}

describe('floors', () => {
  test('every folder has a floor', () => {
    expect([...new Set(sources.map(folderOf))].filter((folder) => floors[folder] === undefined)).toEqual([]);
  });

  test('a file imports only from its own folder and from lower floors', () => {
    const breaches = sources.flatMap((file) => importsOf(file)
      .filter((imported) => imported.startsWith('src/') && folderOf(imported) !== folderOf(file))
      .filter((imported) => (floors[folderOf(imported)] ?? 9) >= (floors[folderOf(file)] ?? 0))
      // The command line's parts (floor 3) may use each other.
      .filter((imported) => !(floors[folderOf(file)] === 3 && floors[folderOf(imported)] === 3))
      .map((imported) => `${file} -> ${imported}`));
    expect(breaches).toEqual([]);
  });

  test('no circles, those of types included', () => {
    const graph = new Map(sources.map((file) => [file, importsOf(file)]));
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
        return;
      }
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
    expect(circles).toEqual([]);
  });
});

test('every file of src has its test', () => {
  const missing = sources.filter((file) => folderOf(file) !== '.' && folderOf(file) !== 'commands').filter((file) => !isOnlyTypes(file))
    .filter((file) => !existsSync(join(root, file.replace(/^src\//, 'test/unit/').replace(/\.ts$/, '.test.ts'))));
  expect(missing).toEqual([]);
});

function isOnlyTypes(file: string): boolean {
  return !/^export (?!type|interface)/m.test(text(file));
}

test('only core/protocols.ts and handoff/protocols.ts list protocols', () => {
  const name = `['"\`]?(?:${protocolNames.join('|')})['"\`]?`;
  const list = new RegExp(`(?:${name}\\s*[,|:]\\s*){4}`);
  expect(sources.filter((file) => !file.endsWith('/protocols.ts') && list.test(withoutComments(text(file))))).toEqual([]);
});

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}

describe('documents', () => {
  test.each([
    ['docs/errors.md', errorCodes],
    ['docs/config.md', limitNames],
    ['docs/metrics.md', Object.keys(meterTable)],
    ['docs/protocols.md', protocolNames],
  ])('%s names every row of its table', (file, rows) => {
    const page = text(file);
    expect(rows.filter((row) => !page.includes(row))).toEqual([]);
  });
});

describe('every limit and every code is used', () => {
  const everything = sources.filter((file) => !/core\/(limits|errors)\.ts$/.test(file)).map(text).join('\n');
  test('limits', () => {
    expect(limitNames.filter((name) => !everything.includes(name))).toEqual([]);
  });

  test('error codes', () => {
    expect(errorCodes.filter((code) => !everything.includes(code))).toEqual([]);
  });
});

test('source files open with what they do, and stay under 300 lines', () => {
  const faults = sources.filter((file) => statSync(join(root, file)).size > 0).flatMap((file) => {
    const lines = text(file).split('\n');
    return [...(lines[0]?.startsWith('//') === true ? [] : [`${file}: no opening sentence`]), ...(lines.length > 301 ? [`${file}: ${String(lines.length)} lines`] : [])];
  });
  expect(faults).toEqual([]);
});
