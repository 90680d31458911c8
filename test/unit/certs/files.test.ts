import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFile, fileMark, foreignBits, isErrno, makeFolder, moveAside, readIfThere, replaceFile } from '../../../src/certs/files.ts';
import { temporaryFolder } from './helpers.ts';

describe('files', () => {
  it('makes private folders and files', async () => {
    const folder = join(await temporaryFolder(), 'a', 'b');
    await makeFolder(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await replaceFile(join(folder, 'f'), 'x');
    expect((await stat(join(folder, 'f'))).mode & 0o777).toBe(0o600);
    expect(await foreignBits(join(folder, 'f'))).toBe(0);
    await chmod(join(folder, 'f'), 0o640);
    expect(await foreignBits(join(folder, 'f'))).toBe(0o40);
  });

  it('lets exactly one of many create a file, and leaves nothing else behind', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'once');
    const results = await Promise.all(Array.from({ length: 8 }, (_, at) => createFile(file, `content ${at} `.repeat(1000))));
    expect(results.filter(Boolean)).toHaveLength(1);
    expect(await readFile(file, 'utf8')).toBe(`content ${results.indexOf(true)} `.repeat(1000));
    expect(await readdir(folder)).toEqual(['once']);
  });

  it('shows a replaced file as changed', async () => {
    const file = join(await temporaryFolder(), 'f');
    expect(await fileMark(file)).toBeNull();
    await replaceFile(file, 'same');
    const first = await fileMark(file);
    await replaceFile(file, 'same');
    expect(await fileMark(file)).not.toBe(first);
  });

  it('answers null for a missing file and rejects for other faults', async () => {
    const folder = await temporaryFolder();
    expect(await readIfThere(join(folder, 'none'))).toBeNull();
    await expect(readIfThere(folder)).rejects.toSatisfy((error) => isErrno(error, 'EISDIR'));
    await writeFile(join(folder, 'f'), 'x');
    expect(await moveAside(join(folder, 'f'), join(folder, 'g'))).toBe(true);
    expect(await moveAside(join(folder, 'f'), join(folder, 'g'))).toBe(false);
    expect(await readFile(join(folder, 'g'), 'utf8')).toBe('x');
  });
});
