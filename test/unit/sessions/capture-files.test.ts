import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { CaptureFiles, captureFilesIn } from '../../../src/sessions/capture-files.ts';
import { recordingMeter } from './support.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-capture-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const head = Buffer.from('HEAD');
const start = (name: string, limits = limitsWith(), meter = recordingMeter()) => CaptureFiles.start({ folder: join(folder, 'captures'), name, head, limits, meter, log: silentLogger });
const kiB = 1024;

describe('capture files', () => {
  it('begin with their head, hold what was written in order, and are private', async () => {
    const files = await start('t1-w1');
    for (let count = 0; count < 100; count += 1) files.write([Buffer.from(`<${count}>`), Buffer.from('!')]);
    await files.close();
    const path = join(folder, 'captures', 'capture-t1-w1-0001.pcapng');
    expect(await readFile(path, 'utf8')).toBe(`HEAD${Array.from({ length: 100 }, (_, count) => `<${count}>!`).join('')}`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'captures'))).mode & 0o777).toBe(0o700);
  });

  it('go on in the next one, remove the oldest of their own process, and leave others alone', async () => {
    const limits = limitsWith({ captureFileBytesMax: 64 * kiB, captureFilesMax: 2 });
    const other = await start('t0-w2', limits);
    await other.close();
    await writeFile(join(folder, 'captures', 'notes.txt'), 'mine');
    const earlier = await start('t0-w1', limits);
    await earlier.close();
    const files = await start('t1-w1', limits);
    for (let count = 0; count < 8; count += 1) files.write([Buffer.alloc(30 * kiB, String(count))]);
    expect(files.generation).toBe(2);
    await files.close();
    expect(await captureFilesIn(join(folder, 'captures'))).toEqual(['capture-t0-w2-0001.pcapng', 'capture-t1-w1-0002.pcapng', 'capture-t1-w1-0003.pcapng']);
    expect(await readdir(join(folder, 'captures'))).toContain('notes.txt');
    const last = await readFile(join(folder, 'captures', 'capture-t1-w1-0003.pcapng'), 'utf8');
    expect(last).toBe(`HEAD${'6'.repeat(30 * kiB)}${'7'.repeat(30 * kiB)}`);
  });

  it('drop and count what waits beyond the bound, whole groups of blocks at a time', async () => {
    const meter = recordingMeter();
    const files = await start('t1-w1', limitsWith({ captureQueueBytesMax: 64 * kiB }), meter);
    files.write([Buffer.alloc(60 * kiB)]);
    files.write([Buffer.alloc(5 * kiB), Buffer.alloc(1)]);
    files.write([Buffer.alloc(4 * kiB)]);
    expect(files.dropped).toBe(2);
    await files.close();
    expect((await stat(join(folder, 'captures', 'capture-t1-w1-0001.pcapng'))).size).toBe(head.length + 64 * kiB);
    expect(meter.sums.get('limits_hit_total{captureQueueBytesMax}')).toBe(1);
  });

  it('take nothing more once they are closed, and cannot be made where there is no room for a folder', async () => {
    const files = await start('t1-w1');
    await files.close();
    files.write([Buffer.from('late')]);
    expect(files.dropped).toBe(1);
    await writeFile(join(folder, 'taken'), '');
    await expect(CaptureFiles.start({ folder: join(folder, 'taken', 'captures'), name: 'a-b', head, limits: limitsWith(), meter: recordingMeter(), log: silentLogger })).rejects.toThrow(/ENOTDIR|EEXIST/);
    expect(await captureFilesIn(join(folder, 'absent'))).toEqual([]);
  });
});
