import { mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { accessLine, openAccessLog } from '../../../src/sessions/access-log.ts';
import { init, live, recordingMeter, testTable } from './support.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-access-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const options = (limits = limitsWith()) => ({ path: join(folder, 'access.jsonl'), limits, meter: recordingMeter(), log: silentLogger });

describe('the access log', () => {
  it('holds one JSON line for each session, readable by owner and group only', async () => {
    const log = await openAccessLog(options());
    const { table } = testTable();
    const sessions = Array.from({ length: 500 }, () => table.open(init({ sni: 'line\nbreak.example' }), live({ fromClient: 5 })));
    for (const session of sessions) {
      table.close(session, null);
      log.write(session);
    }
    await log.close();
    const lines = (await readFile(join(folder, 'access.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(sessions.map((session) => session.id));
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ time: '2026-01-02T03:04:05.000Z', service: 'https', bytes: { fromClient: 5 }, state: 'closed' });
    expect((await stat(join(folder, 'access.jsonl'))).mode & 0o007).toBe(0);
  });

  it('has every field of a session', () => {
    const { table } = testTable();
    const session = table.open(init(), live());
    expect(Object.keys(JSON.parse(accessLine(session)) as object).sort()).toEqual(['time', ...Object.keys(session)].sort());
  });

  it('goes on in a new file after reopen, without losing a line', async () => {
    const log = await openAccessLog(options());
    const { table } = testTable();
    const session = table.open(init(), live());
    for (let count = 0; count < 200; count += 1) {
      log.write(session);
      if (count === 100) {
        await rename(join(folder, 'access.jsonl'), join(folder, 'access.jsonl.1'));
        await log.reopen();
      }
    }
    await log.close();
    const lines = await Promise.all(['access.jsonl', 'access.jsonl.1'].map(async (name) => (await readFile(join(folder, name), 'utf8')).split('\n').length - 1));
    expect(lines).toEqual([99, 101]);
  });

  it('drops and counts what waits beyond its bound', async () => {
    const { table } = testTable();
    const session = table.open(init(), live());
    const lineBytes = Buffer.byteLength(accessLine(session));
    const setUp = options(limitsWith({ accessLogQueueBytesMax: lineBytes * 10 }));
    const log = await openAccessLog(setUp);
    for (let count = 0; count < 25; count += 1) log.write(session);
    await log.close();
    expect((await readFile(setUp.path, 'utf8')).split('\n').length - 1).toBe(10);
    expect(setUp.meter.sums.get('limits_hit_total{accessLogQueueBytesMax}')).toBe(15);
  });

  it('survives a full disk: lines are counted as dropped, nothing throws', async () => {
    const setUp = { ...options(), path: '/dev/full' };
    const log = await openAccessLog(setUp);
    const { table } = testTable();
    log.write(table.open(init(), live()));
    await log.close();
    expect(setUp.meter.sums.get('limits_hit_total{accessLogQueueBytesMax}')).toBe(1);
  });

  it('rejects when the file cannot be opened', async () => {
    await expect(openAccessLog({ ...options(), path: join(folder, 'missing', 'x') })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('lines of two writers on one file do not mix', async () => {
    const logs = [await openAccessLog(options()), await openAccessLog(options())];
    const { table } = testTable();
    const session = table.open(init({ sni: 'x'.repeat(2_000) }), live());
    for (let round = 0; round < 20; round += 1) {
      for (const log of logs) for (let count = 0; count < 40; count += 1) log.write(session);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(logs.map((log) => log.close()));
    const file = await open(join(folder, 'access.jsonl'));
    let lines = 0;
    for await (const line of file.readLines()) {
      JSON.parse(line);
      lines += 1;
    }
    expect(lines).toBe(1_600);
  });
});
