import { createConnection } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Session } from '../../../src/core/session.ts';
import { init, live } from '../sessions/support.ts';
import { startTestAdmin } from './support.ts';
import type { TestAdmin, TestAdminOptions } from './support.ts';

let admin: TestAdmin | null = null;
const readers: Reader[] = [];
afterEach(async () => {
  await Promise.all(readers.splice(0).map((reader) => reader.close()));
  await admin?.close();
  admin = null;
});
async function start(options: TestAdminOptions = {}): Promise<TestAdmin> {
  admin = await startTestAdmin(options);
  return admin;
}

interface StreamEvent {
  readonly event: string;
  readonly data: unknown;
  readonly id: string | null;
}

/** Reads events by the rules of the specification, as far as we use them. */
class Reader {
  readonly events: StreamEvent[] = [];
  comments = 0;
  readonly #ending = new AbortController();
  #done: Promise<void> = Promise.resolve();

  static async open(base: string, query: string, headers: Record<string, string> = {}): Promise<Reader> {
    const reader = new Reader();
    const response = await fetch(`${base}/api/sessions/stream${query}`, { headers, signal: reader.#ending.signal });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const { body } = response;
    if (body === null) throw new Error('no body');
    reader.#done = reader.#read(body);
    readers.push(reader);
    await expect.poll(() => reader.events.length).toBeGreaterThan(0);
    return reader;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    let rest = '';
    try {
      for await (const text of body.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + text).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
      }
    } catch {
      // aborted by close()
    }
  }

  #take(block: string): void {
    const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
    if (fields.has('')) this.comments += 1;
    const data = fields.get('data');
    if (data !== undefined) this.events.push({ event: fields.get('event') ?? '', data: JSON.parse(data), id: fields.get('id') ?? null });
  }

  get lastId(): string {
    return this.events.findLast((one) => one.id !== null)?.id ?? '';
  }

  sessions(): Session[] {
    return this.events.filter((one) => one.event === 'session').map((one) => one.data as Session);
  }

  gone(): string[] {
    return this.events.filter((one) => one.event === 'gone').map((one) => (one.data as { id: string }).id);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#done;
  }
}

describe('GET /api/sessions/stream', () => {
  it('tells of openings, changes and closings of two workers as they happen', async () => {
    const { base, tables } = await start({ workers: 2 });
    const reader = await Reader.open(base, '');
    const sockets = live();
    const first = tables[0]?.open(init(), sockets);
    const second = tables[1]?.open(init(), live());
    await expect.poll(() => reader.sessions().map((session) => session.id).sort()).toEqual([first?.id, second?.id]);
    sockets.counts.fromClient = 10;
    await expect.poll(() => reader.sessions().at(-1)?.bytes.fromClient).toBe(10);
    if (first !== undefined) tables[0]?.close(first, 'IDLE_TIMEOUT');
    await expect.poll(() => reader.sessions().at(-1)).toMatchObject({ id: first?.id, state: 'errored', error: 'IDLE_TIMEOUT' });
  });

  it('keeps to its filter and says what leaves it', async () => {
    const { base, tables } = await start();
    const [table] = tables;
    const reader = await Reader.open(base, '?protocol=sips,pending&state=active');
    const session = table?.open(init(), live());
    if (table === undefined || session === undefined) throw new Error('no table');
    await expect.poll(() => reader.sessions().length).toBe(1);
    session.protocol = 'tls';
    table.protocolChanged(session);
    await expect.poll(() => reader.gone()).toEqual([session.id]);
    expect(reader.sessions()).toHaveLength(1);
  });

  it('resumes where a reader left off: what was missed comes, what was seen does not', async () => {
    const { base, tables } = await start({ workers: 2 });
    const before = await Reader.open(base, '');
    const seen = tables[0]?.open(init(), live());
    await expect.poll(() => before.sessions().length).toBe(1);
    await expect.poll(() => before.events.at(-1)?.event).toBe('mark');
    const mark = before.lastId;
    await before.close();
    const missed = [tables[0]?.open(init(), live()), tables[1]?.open(init(), live())];
    if (missed[1] !== undefined) tables[1]?.close(missed[1], null);

    for (const reader of [await Reader.open(base, '', { 'last-event-id': mark }), await Reader.open(base, `?mark=${encodeURIComponent(mark)}`)]) {
      await expect.poll(() => reader.sessions().map((session) => session.id).sort()).toEqual(missed.map((session) => session?.id).sort());
      expect(reader.sessions().map((session) => session.id)).not.toContain(seen?.id);
    }
  });

  it('a new reader hears nothing of the past, and a strange mark is everything', async () => {
    const { base, tables } = await start();
    const old = tables[0]?.open(init(), live());
    const fresh = await Reader.open(base, '');
    const strange = await Reader.open(base, '', { 'last-event-id': '7.zzz:5,%%' });
    await expect.poll(() => strange.sessions().map((session) => session.id)).toEqual([old?.id]);
    expect(fresh.sessions()).toEqual([]);
  });

  it('speaks now and then when nothing happens', async () => {
    const { base } = await start({ limits: { streamHeartbeatMs: 1_000, streamPollMs: 200 } });
    const reader = await Reader.open(base, '');
    await expect.poll(() => reader.comments, { timeout: 5_000 }).toBeGreaterThan(0);
  });

  it('a wrong filter is 400, and streams are bounded', async () => {
    const { base, ask } = await start({ limits: { streamsMax: 2 } });
    expect((await ask('/api/sessions/stream?protocol=lync')).status).toBe(400);
    const first = await Reader.open(base, '');
    await Reader.open(base, '');
    expect(JSON.parse((await ask('/api/sessions/stream')).text)).toMatchObject({ error: 'STREAMS_FULL' });
    await first.close();
    await expect.poll(async () => {
      const response = await fetch(`${base}/api/sessions/stream`);
      await response.body?.cancel();
      return response.status;
    }).toBe(200);
  });

  it('a reader that does not read holds up nothing and holds no growing queue', async () => {
    const { base, port, tables } = await start();
    const [table] = tables;
    const deaf = createConnection(port, '127.0.0.1');
    deaf.pause();
    deaf.write('GET /api/sessions/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await once(deaf, 'connect');
    const reader = await Reader.open(base, '?state=active');
    globalThis.gc?.();
    for (let round = 0; round < 20; round += 1) {
      for (let count = 0; count < 500; count += 1) {
        const session = table?.open(init({ sni: 'x'.repeat(200) }), live());
        if (session !== undefined && count > 0) table?.close(session, null);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await expect.poll(() => new Set(reader.sessions().map((session) => session.id)).size).toBeGreaterThanOrEqual(20);
    expect(deaf.bytesRead).toBeLessThan(64 * 1024);
    deaf.destroy();
  });
});
