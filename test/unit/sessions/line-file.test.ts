import { mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { openLineFile } from '../../../src/sessions/line-file.ts';
import { recordingMeter } from './support.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-lines-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const options = (limits = limitsWith()) => ({ path: join(folder, 'access.jsonl'), limits, meter: recordingMeter(), log: silentLogger });
const line = `${JSON.stringify({ some: 'words' })}\n`;

describe('a file of lines', () => {
  it('goes on in a new file after reopen, without losing a line', async () => {
    const log = await openLineFile(options());
    for (let count = 0; count < 200; count += 1) {
      log.add(line);
      if (count === 100) {
        await rename(join(folder, 'access.jsonl'), join(folder, 'access.jsonl.1'));
        await log.reopen();
      }
    }
    await log.close();
    const lines = await Promise.all(['access.jsonl', 'access.jsonl.1'].map(async (name) => (await readFile(join(folder, name), 'utf8')).split('\n').length - 1));
    // What waited when the file was opened anew goes to the new one.
    expect((lines[0] ?? 0) + (lines[1] ?? 0)).toBe(200);
    expect(lines[0]).toBeGreaterThanOrEqual(99);
  });

  it('is opened anew, and writes in batches, while lines never cease to come', async () => {
    const log = await openLineFile(options(limitsWith({ logBatchMs: 10 })));
    const busy = setInterval(() => { for (let count = 0; count < 20; count += 1) log.add(line); }, 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await rename(join(folder, 'access.jsonl'), join(folder, 'access.jsonl.1'));
    await log.reopen();
    const left = (await readFile(join(folder, 'access.jsonl.1'), 'utf8')).length;
    await expect.poll(async () => (await readFile(join(folder, 'access.jsonl'), 'utf8')).length).toBeGreaterThan(0);
    clearInterval(busy);
    await log.close();
    expect((await readFile(join(folder, 'access.jsonl.1'), 'utf8')).length).toBe(left);
  });

  it('drops and counts what waits beyond its bound', async () => {
    const setUp = options(limitsWith({ accessLogQueueBytesMax: Buffer.byteLength(line) * 10 }));
    const log = await openLineFile(setUp);
    for (let count = 0; count < 25; count += 1) log.add(line);
    await log.close();
    expect((await readFile(setUp.path, 'utf8')).split('\n').length - 1).toBe(10);
    expect(setUp.meter.sums.get('limits_hit_total{accessLogQueueBytesMax}')).toBe(15);
  });

  it('lines wait for each other, but neither for a whole batch nor for a close', async () => {
    const length = async (): Promise<number> => (await readFile(join(folder, 'access.jsonl'), 'utf8')).length;
    const log = await openLineFile(options(limitsWith({ logBatchMs: 10_000 })));
    log.add(line);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await length()).toBe(0);
    const long = `${'x'.repeat(1_000)}\n`;
    for (let count = 0; count < 200; count += 1) log.add(long);
    await expect.poll(length, { timeout: 5_000 }).toBeGreaterThan(100_000);
    log.add(line);
    await log.close();
    expect(await length()).toBe(2 * line.length + 200 * long.length);
  });

  it('survives a full disk: lines are counted as dropped, nothing throws', async () => {
    const setUp = { ...options(), path: '/dev/full' };
    const log = await openLineFile(setUp);
    log.add(line);
    await log.close();
    expect(setUp.meter.sums.get('limits_hit_total{accessLogQueueBytesMax}')).toBe(1);
  });

  it('rejects when the file cannot be opened', async () => {
    await expect(openLineFile({ ...options(), path: join(folder, 'missing', 'x') })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('lines of two writers on one file do not mix', async () => {
    const logs = [await openLineFile(options()), await openLineFile(options())];
    const long = `${JSON.stringify({ name: 'x'.repeat(2_000) })}\n`;
    for (let round = 0; round < 20; round += 1) {
      for (const log of logs) for (let count = 0; count < 40; count += 1) log.add(long);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(logs.map((log) => log.close()));
    const file = await open(join(folder, 'access.jsonl'));
    let lines = 0;
    for await (const text of file.readLines()) {
      JSON.parse(text);
      lines += 1;
    }
    expect(lines).toBe(1_600);
  });
});
