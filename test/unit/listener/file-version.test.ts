import { chmodSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { versionOf } from '../../../src/listener/file-version.ts';

const folder = mkdtempSync(join(tmpdir(), 'file-version-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'watched');

test('it changes when the file does, and is the same otherwise', async () => {
  const versions = [await versionOf(file)];
  const steps = [
    () => writeFileSync(file, 'a'), () => writeFileSync(file, 'ab'), () => utimesSync(file, 5, 5),
    () => { writeFileSync(`${file}.new`, 'ab'); utimesSync(`${file}.new`, 5, 5); renameSync(`${file}.new`, file); },
  ];
  for (const step of steps) {
    step();
    versions.push(await versionOf(file));
    expect(await versionOf(file)).toBe(versions.at(-1));
  }
  expect(new Set(versions).size).toBe(versions.length);
  const open = await versionOf(file);
  // The clock of file systems has ticks of some milliseconds.
  await expect.poll(async () => { chmodSync(file, 0o600); return await versionOf(file); }).not.toBe(open);
  rmSync(file);
  expect(await versionOf(file)).toBe('absent');
});
