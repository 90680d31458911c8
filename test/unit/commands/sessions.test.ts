import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { run } from '../../../src/commands/sessions.ts';
import { startTestAdmin, token } from '../admin/support.ts';
import type { TestAdmin } from '../admin/support.ts';
import { init, live } from '../sessions/support.ts';

let admin: TestAdmin;
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-sessions-'));
  writeFileSync(join(folder, 'admin.token'), `${token}\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(async () => {
  admin = await startTestAdmin({ workers: 2 });
});
afterEach(async () => {
  await admin.close();
});

interface Result {
  code: number;
  out: string;
  err: string;
}

async function sessions(args: readonly string[], extra: { tokenFile?: string | null; signal?: AbortSignal; tty?: boolean; onWrite?: (out: string) => void } = {}): Promise<Result> {
  const result: Result = { code: -1, out: '', err: '' };
  const stdout = {
    isTTY: extra.tty ?? false, columns: 160, rows: 10,
    write: (text: string) => {
      result.out += text;
      extra.onWrite?.(result.out);
    },
  };
  result.code = await run(args, {
    admin: `127.0.0.1:${admin.port}`, tokenFile: extra.tokenFile ?? null, stdout, stderr: { write: (text) => void (result.err += text) },
    ...(extra.signal === undefined ? {} : { signal: extra.signal }),
  });
  return result;
}

function opened(worker: number, protocol: Session['protocol'], sni: string): Session {
  const table = admin.tables[worker];
  const session = table?.open(init({ sni }), live());
  if (table === undefined || session === undefined) throw new Error('no table');
  session.protocol = protocol;
  table.protocolChanged(session);
  return session;
}

describe('sallyport sessions', () => {
  it('lists what the filter asks for, given as one word or several', async () => {
    opened(0, 'sips', 'sip.example');
    opened(1, 'ms-turn', 'edge.example');
    for (const args of [['protocol=sips & state=active'], ['protocol=sips', 'state=active'], ['protocol=sips', '&', 'state=active']]) {
      const { code, out, err } = await sessions(args);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('sip.example:443');
      expect(out).not.toContain('edge.example');
    }
  });

  it('--json is the answer of the API', async () => {
    const one = opened(0, 'sips', 'sip.example');
    const { code, out } = await sessions(['--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ sessions: [{ id: one.id, protocol: 'sips' }], total: 1, truncated: false });
  });

  it('--limit goes over pages of the API and says what is left', async () => {
    for (let count = 0; count < 2_500; count += 1) opened(count % 2, 'tls', 'a.example');
    const all = await sessions(['--json', '--limit', '2400']);
    const ids = (JSON.parse(all.out) as { sessions: Session[] }).sessions.map((session) => session.id);
    expect(new Set(ids).size).toBe(2_400);
    const some = await sessions(['--limit', '3']);
    expect(some.out.trimEnd().split('\n')).toHaveLength(4);
    expect(some.err).toContain('2497 more');
  });

  it('kill ends a session of any worker, with the token', async () => {
    const sockets = live();
    const session = admin.tables[1]?.open(init(), sockets);
    const refused = await sessions(['kill', session?.id ?? '']);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/^sallyport sessions: .*token.*\n$/);
    expect(sockets.kills).toBe(0);
    expect(await sessions(['kill', session?.id ?? ''], { tokenFile: join(folder, 'admin.token') })).toEqual({ code: 0, out: `killed ${session?.id}\n`, err: '' });
    expect(sockets.kills).toBe(1);
    expect(await sessions(['kill', '1-zzzzzzzzzzz', '--token-file', join(folder, 'admin.token')])).toMatchObject({ code: 1, err: 'sallyport sessions: There is no session 1-zzzzzzzzzzz; it may have ended long ago.\n' });
  });

  it('wrong usage is code 2 and one line', async () => {
    for (const args of [['protocol=lync'], ['nonsense'], ['--limit', 'x'], ['--limit', '0'], ['--wrong'], ['kill'], ['kill', 'a', 'b']]) {
      const { code, out, err } = await sessions(args);
      expect({ code, out }, args.join(' ')).toEqual({ code: 2, out: '' });
      expect(err).toMatch(/^sallyport sessions: [^\n]+\n$/);
    }
    expect((await sessions(['protocol=lync'])).err).toContain('ms-turn');
  });

  it('--help names every filter', async () => {
    const { code, out } = await sessions(['--help']);
    expect(code).toBe(0);
    for (const word of ['protocol', 'ms-turn', 'since', 'client', '--watch', 'kill ID']) expect(out).toContain(word);
  });

  it('a gateway that is not there is one line that says what to do', async () => {
    const { code, err } = await sessions(['--admin', '127.0.0.1:1']);
    expect(code).toBe(1);
    expect(err).toMatch(/^sallyport sessions: no gateway answers at 127\.0\.0\.1:1: [^\n]+\n$/);
  });

  it('--watch draws on the other screen of a terminal and leaves it again', async () => {
    const ending = new AbortController();
    const one = opened(0, 'sips', 'sip.example\u001b[2J');
    const { code, out } = await sessions(['--watch'], { tty: true, signal: ending.signal, onWrite: (text) => text.includes(one.id) && ending.abort() });
    expect(code).toBe(0);
    expect(out.startsWith('\u001b[?1049h')).toBe(true);
    expect(out.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(out).not.toContain('\u001b[2J');
    expect(out).toContain('1 of 1 sessions');
  });

  it('--watch --json writes a line for each change, and goes on after the gateway restarts', async () => {
    const ending = new AbortController();
    let text = '';
    const watching = sessions(['--watch', '--json', 'protocol=sips,pending'], { signal: ending.signal, onWrite: (out) => { text = out; } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const first = opened(0, 'sips', 'one.example');
    await expect.poll(() => text).toContain(first.id);
    await admin.close();
    const { port } = admin;
    admin = await startTestAdmin({ workers: 2, listen: `127.0.0.1:${port}` });
    const second = opened(1, 'sips', 'two.example');
    await expect.poll(() => text, { timeout: 5_000 }).toContain(second.id);
    ending.abort();
    const { code, out, err } = await watching;
    expect(code).toBe(0);
    for (const line of out.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ protocol: 'sips' });
    expect(err).toContain('trying again');
  });
});
