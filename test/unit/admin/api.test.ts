import { afterEach, describe, expect, it } from 'vitest';
import { errorCodes } from '../../../src/core/errors.ts';
import type { SessionPage } from '../../../src/core/sessions-view.ts';
import { protocolNames, protocolWords } from '../../../src/core/protocols.ts';
import type { ProtocolName } from '../../../src/core/protocols.ts';
import type { SessionTable } from '../../../src/sessions/table.ts';
import { filterKeys } from '../../../src/sessions/filter.ts';
import { init, live } from '../sessions/support.ts';
import { startTestAdmin, token } from './support.ts';
import type { TestAdmin, TestAdminOptions } from './support.ts';

let admin: TestAdmin | null = null;
afterEach(async () => {
  await admin?.close();
  admin = null;
});
async function start(options: TestAdminOptions = {}): Promise<TestAdmin> {
  admin = await startTestAdmin(options);
  return admin;
}
const page = (text: string): SessionPage => JSON.parse(text) as SessionPage;

function openAs(table: SessionTable | undefined, protocol: ProtocolName): string {
  const session = table?.open(init({ sni: `${protocol}.example` }), live({ fromClient: 3 }));
  if (session === undefined) throw new Error('no table');
  session.protocol = protocol;
  table?.protocolChanged(session);
  return session.id;
}

describe('GET /api/sessions', () => {
  it('?protocol= returns exactly the sessions of each name', async () => {
    const { ask, tables } = await start({ workers: 2 });
    for (const [index, name] of protocolNames.entries()) openAs(tables[index % 2], name);
    for (const [word, names] of protocolWords) {
      const { sessions, total } = page((await ask(`/api/sessions?protocol=${word}`)).text);
      expect(sessions.map((session) => session.protocol).sort(), word).toEqual([...names].sort());
      expect(total).toBe(names.length);
    }
  });

  it('a wrong key or word is 400 and lists the right ones', async () => {
    const { ask } = await start();
    const word = await ask('/api/sessions?protocol=lync');
    expect(word.status).toBe(400);
    expect(JSON.parse(word.text)).toMatchObject({ error: 'BAD_FILTER', allowed: [...protocolWords.keys()] });
    const key = await ask('/api/sessions?proto=sips');
    expect(JSON.parse(key.text)).toMatchObject({ error: 'BAD_FILTER', allowed: filterKeys.map((one) => one.key) });
    for (const query of ['limit=0', 'limit=x', 'limit=1001', 'limit=1.5', 'limit=']) expect(JSON.parse((await ask(`/api/sessions?${query}`)).text), query).toMatchObject({ error: 'BAD_LIMIT' });
    expect(JSON.parse((await ask('/api/sessions?cursor=x')).text)).toMatchObject({ error: 'BAD_CURSOR' });
  });

  it('pages with limit and cursor over workers', async () => {
    const { ask, tables } = await start({ workers: 3 });
    const opened = Array.from({ length: 25 }, (_, index) => openAs(tables[index % 3], 'sips'));
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const answer = page((await ask(`/api/sessions?limit=4&state=active&cursor=${cursor}`)).text);
      expect(answer).toMatchObject({ total: 25, truncated: false });
      seen.push(...answer.sessions.map((session) => session.id));
      ({ cursor } = answer);
    }
    expect(seen).toHaveLength(25);
    expect([...seen].sort()).toEqual([...opened].sort());
  });

  it('answers a page of 200 of 10,000 sessions in under 20 ms', async () => {
    const { ask, tables } = await start();
    const [table] = tables;
    for (let index = 0; index < 10_000; index += 1) openAs(table, protocolNames[index % protocolNames.length] ?? 'pending');
    const times: number[] = [];
    for (let round = 0; round < 30; round += 1) {
      const started = performance.now();
      const answer = await ask('/api/sessions?limit=200&state=active&client=10.0.0.0/8&q=example');
      times.push(performance.now() - started);
      expect(page(answer.text).sessions).toHaveLength(200);
    }
    times.sort((left, right) => left - right);
    expect(times[Math.floor(times.length / 2)]).toBeLessThan(20);
  });
});

describe('one session', () => {
  it('is shown, with bytes of now, and 404 when unknown', async () => {
    const { ask, tables } = await start({ workers: 2 });
    const id = openAs(tables[1], 'sips');
    expect(JSON.parse((await ask(`/api/sessions/${id}`)).text)).toMatchObject({ id, protocol: 'sips', sni: 'sips.example', bytes: { fromClient: 3 }, state: 'active' });
    const missing = await ask('/api/sessions/1-zzzzzzzzzzz');
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.text)).toMatchObject({ error: 'NO_SESSION' });
  });

  it('is killed with the token only, and only once', async () => {
    const { ask, tables } = await start({ workers: 2 });
    const sockets = live();
    const id = tables[0]?.open(init(), sockets).id ?? '';
    expect((await ask(`/api/sessions/${id}`, { method: 'DELETE' })).status).toBe(403);
    expect(sockets.kills).toBe(0);
    expect((await ask(`/api/sessions/${id}`, { method: 'DELETE', token })).text).toBe(JSON.stringify({ killed: id }));
    expect(sockets.kills).toBe(1);
    expect((await ask('/api/sessions/1-zzzzzzzzzzz', { method: 'DELETE', token })).status).toBe(404);
  });
});

describe('the lists', () => {
  it('/api/protocols holds every name, word and filter', async () => {
    const { ask } = await start();
    const answer = JSON.parse((await ask('/api/protocols')).text) as { protocols: { name: string; about: string; words: string[] }[]; filters: { key: string; words: string[] | null }[] };
    expect(answer.protocols.map((one) => one.name)).toEqual(protocolNames);
    for (const one of answer.protocols) {
      expect(one.about.length).toBeGreaterThan(5);
      for (const word of one.words) expect(protocolWords.get(word)).toContain(one.name);
    }
    expect(answer.filters.find((one) => one.key === 'protocol')?.words).toEqual([...protocolWords.keys()]);
  });

  it('/api/errors holds every code with its advice', async () => {
    const { ask } = await start();
    const { errors } = JSON.parse((await ask('/api/errors')).text) as { errors: { code: string; advice: string; text: string }[] };
    expect(errors.map((row) => row.code)).toEqual(errorCodes);
    for (const row of errors) expect(row.text.length * row.advice.length).toBeGreaterThan(0);
  });

  it('/api/summary counts over workers', async () => {
    const { ask, tables } = await start({ workers: 2 });
    openAs(tables[0], 'sips');
    openAs(tables[1], 'sips');
    openAs(tables[1], 'tls');
    expect(JSON.parse((await ask('/api/summary')).text)).toMatchObject({ active: 3, closed: 0, byProtocol: { sips: 2, tls: 1 }, truncated: false });
  });
});

describe('health and metrics', () => {
  it('/readyz says why not', async () => {
    const reasons = ['the CRL listener could not be opened'];
    const { ask } = await start({ health: () => ({ ready: false, reasons }) });
    expect((await ask('/healthz')).status).toBe(200);
    expect(await ask('/readyz')).toMatchObject({ status: 503, text: JSON.stringify({ ready: false, reasons }) });
  });

  it('/metrics is Prometheus text over workers, with a filter by protocol', async () => {
    const { ask, tables } = await start({ workers: 2 });
    openAs(tables[0], 'sips');
    openAs(tables[1], 'sips');
    openAs(tables[1], 'ms-turn');
    const all = await ask('/metrics');
    expect(all.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(all.text).toContain('sallyport_sessions_active{service="https",protocol="sips"} 2');
    const some = await ask('/metrics?protocol=turn-any');
    expect(some.text).toContain('protocol="ms-turn"');
    expect(some.text).not.toContain('protocol="sips"');
    expect((await ask('/metrics?protocol=lync')).status).toBe(400);
    expect((await ask('/metrics', { headers: { accept: 'application/openmetrics-text' } })).text).toMatch(/# EOF\n$/);
  });
});
