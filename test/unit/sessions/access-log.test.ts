import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { accessLine, openAccessLog, openRequestLog, requestLine } from '../../../src/sessions/access-log.ts';
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
});

describe('the request log', () => {
  const request = { method: 'GET', host: 'a.example:8443', target: '/a/b?secret=1', status: 200, startedAt: 1_000, fromClientBytes: 80, toClientBytes: 1_234 };
  const { table } = testTable();
  const session = table.open(init({ user: 'ann' }), live());
  const told = (changes: Partial<typeof request> = {}, textMax = 256): Record<string, unknown> => {
    const line: Record<string, unknown> = JSON.parse(requestLine(session, { ...request, ...changes }, 1_250, textMax));
    return line;
  };

  it('tells whose request it was, what was asked and answered, how much and how long', () => {
    expect(told()).toEqual({
      time: '1970-01-01T00:00:01.250Z', session: session.id, service: 'https', protocol: session.protocol, client: session.client, user: 'ann', rule: null,
      method: 'GET', host: 'a.example:8443', path: '/a/b', status: 200, milliseconds: 250, bytes: { fromClient: 80, toClient: 1_234 },
    });
    expect(told({ status: 0 })).toMatchObject({ status: null });
  });

  it.each([
    ['/x?y', '/x'], ['/x#y', '/x'], ['http://u:p@a/x?y', '/x'], ['http://u:p@a?y', '/'], ['HTTP://a', '/'], ['*', '*'], ['a:443', null], ['', null], ['/a?b\n?c', '/a'],
  ])('of the target %j the path %j', (target, path) => {
    expect(told({ target }).path).toBe(path);
  });

  it('cuts long texts', () => {
    expect(told({ method: 'X'.repeat(99), host: 'h'.repeat(99), target: `/${'p'.repeat(99)}` }, 10)).toMatchObject({ method: 'X'.repeat(10), host: 'h'.repeat(10), path: `/${'p'.repeat(9)}` });
  });

  it('is a file of such lines', async () => {
    const log = await openRequestLog({ ...options(), clock: () => 1_250 });
    log.write(session, request);
    await log.reopen();
    log.write(session, request);
    await log.close();
    expect(await readFile(join(folder, 'access.jsonl'), 'utf8')).toBe(requestLine(session, request, 1_250, 256).repeat(2));
  });
});
