import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import type { DetectSwitches } from '../../../src/core/verdicts.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { detect } from '../../../src/handoff/detect.ts';
import type { DetectOptions, Detection } from '../../../src/handoff/detect.ts';
import { protocols } from '../../../src/handoff/protocols.ts';
import { helloBytes, helloFiles } from '../../support/client-hellos.ts';
import { readAll, readBytes, socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';

const pairs: Pair[] = [];
afterEach(() => {
  for (const pair of pairs.splice(0)) pair.destroy();
});

const none: DetectSwitches = { off: new Set(), on: new Set() };
const limits = limitsWith({ detectRaceMs: 60, detectMs: 250, detectSilenceMs: 400, relayIdleMs: 1_000 });
const options: DetectOptions = { detectors: protocols, switches: none, insideTls: false, limits, dialEarly: null, raceNow: false };

async function pair(): Promise<Pair> {
  const made = await socketPair();
  pairs.push(made);
  return made;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const hello = helloBytes(helloFiles[0] ?? '');
const mtPseudo = Buffer.concat([Buffer.from('160301002d010000290301', 'hex'), Buffer.alloc(32, 7), Buffer.from('00000200180100', 'hex')]);
const rfcTurn = Buffer.from('000100002112a442000102030405060708090a0b', 'hex');

const samples: [string, Buffer | string, string | null][] = [
  ['tls', hello, 'tls'],
  ['http', 'GET / HTTP/1.1\r\n', 'http'],
  ['h2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2'],
  ['sip', 'REGISTER sip:contoso.test SIP/2.0\r\n', 'sip'],
  ['ms-turn', mtPseudo, 'ms-turn'],
  ['turn', rfcTurn, 'turn'],
  ['ssh', 'SSH-2.0-OpenSSH_9.9\r\n', null],
  ['noise', Buffer.from('ffeeddccbbaa99887766554433221100', 'hex'), null],
];

describe.each(samples)('%s', (_name, text, row) => {
  const bytes = Buffer.from(text);

  test('is told the same whole, in two pieces at every place, and byte by byte; no byte is lost', async () => {
    const judge = async (send: (socket: Socket) => Promise<void>): Promise<Detection> => {
      const { near, far } = await pair();
      const found = detect(far, null, { ...options, limits: limitsWith({ detectMs: 5_000 }) });
      await send(near);
      const detection = await found;
      near.end();
      expect(await readAll(far)).toEqual(bytes);
      return detection;
    };
    const whole = await judge(async (near) => void near.write(bytes));
    expect(whole).toMatchObject({ row, suspect: false, stalled: null, from: 'client' });
    for (let at = 1; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / 24))) {
      const split = await judge(async (near) => {
        near.write(bytes.subarray(0, at));
        await pause(1);
        near.write(bytes.subarray(at));
      });
      expect([at, split.row, split.suspect]).toEqual([at, row, false]);
      expect(split.facts).toEqual(whole.facts);
    }
    const dripped = await judge(async (near) => {
      near.setNoDelay(true);
      const step = Math.max(1, Math.floor(bytes.length / 64));
      for (let at = 0; at < bytes.length; at += step) {
        near.write(bytes.subarray(at, at + step));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    expect(dripped.row).toBe(row);
    for (const each of pairs.splice(0)) each.destroy();
  });

  test('is told the same when the FIN comes with it', async () => {
    const { near, far } = await pair();
    near.end(bytes);
    await pause(10);
    expect((await detect(far, null, options)).row).toBe(row);
    expect(await readAll(far)).toEqual(bytes);
  });
});

test('bytes that may still become a protocol: undecided until detectMs, then none, with the reason', async () => {
  const { near, far } = await pair();
  near.write('GET /');
  const startedAt = performance.now();
  expect(await detect(far, null, options)).toMatchObject({ row: null, stalled: 'FIRST_BYTES_STALLED', from: 'client' });
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(limits.detectMs - 5);
  expect((await readBytes(far, 5)).toString()).toBe('GET /');
});

test('the wait counts from the first byte: dripping on does not prolong it', async () => {
  const { near, far } = await pair();
  const drip = setInterval(() => near.write('A'), 20);
  const startedAt = performance.now();
  expect((await detect(far, null, { ...options, detectors: { ...protocols, http: { detect: () => 'more' } } })).row).toBeNull();
  clearInterval(drip);
  expect(performance.now() - startedAt).toBeLessThan(limits.detectMs + 200);
});

test('undecided bytes and a FIN: nobody waits for more', async () => {
  const { near, far } = await pair();
  near.end('GET /');
  const startedAt = performance.now();
  expect(await detect(far, null, options)).toMatchObject({ row: null, stalled: null });
  expect(performance.now() - startedAt).toBeLessThan(limits.detectMs);
  expect((await readAll(far)).toString()).toBe('GET /');
});

test('a FIN without a byte: CLIENT_CLOSED_EARLY; a reset: RESET_BY_CLIENT; a socket that is gone already: at once', async () => {
  const closed = await pair();
  closed.near.end();
  await expect(detect(closed.far, null, options)).rejects.toMatchObject({ code: 'CLIENT_CLOSED_EARLY' });
  const reset = await pair();
  const found = detect(reset.far, null, options);
  reset.near.write('G');
  setTimeout(() => reset.near.resetAndDestroy(), 20);
  await expect(found).rejects.toMatchObject({ code: 'RESET_BY_CLIENT' });
  const gone = await pair();
  gone.far.destroy(new FlowError('KILLED_BY_OPERATOR'));
  await expect(detect(gone.far, null, options)).rejects.toMatchObject({ code: 'KILLED_BY_OPERATOR' });
});

describe('early dial', () => {
  test('after detectRaceMs of silence; a server that speaks first decides', async () => {
    const [client, server] = [await pair(), await pair()];
    let dialledAt = 0;
    const startedAt = performance.now();
    server.near.write('220 ready\r\n');
    const found = await detect(client.far, null, { ...options, dialEarly: async () => {
      dialledAt = performance.now();
      return server.far;
    } });
    expect(found).toMatchObject({ row: null, from: 'upstream', stalled: null });
    expect(dialledAt - startedAt).toBeGreaterThanOrEqual(limits.detectRaceMs - 5);
    expect((await readBytes(server.far, 11)).toString()).toBe('220 ready\r\n');
  });

  test('at once where the rule says that servers speak first', async () => {
    const [client, server] = [await pair(), await pair()];
    server.near.write('SIP/2.0 200 OK\r\n');
    const startedAt = performance.now();
    const found = await detect(client.far, null, { ...options, raceNow: true, dialEarly: async () => server.far });
    expect(found).toMatchObject({ row: 'sip', from: 'upstream' });
    expect(performance.now() - startedAt).toBeLessThan(limits.detectRaceMs);
  });

  test('not at all when the client speaks in time, also in part', async () => {
    const client = await pair();
    client.near.write('GET /');
    let dials = 0;
    await detect(client.far, null, { ...options, dialEarly: () => {
      dials += 1;
      return Promise.reject(new FlowError('DIAL_REFUSED'));
    } });
    expect(dials).toBe(0);
  });

  test('a client that speaks after the dial is judged all the same, and the server stays as it was', async () => {
    const [client, server] = [await pair(), await pair()];
    const found = detect(client.far, null, { ...options, dialEarly: async () => server.far });
    setTimeout(() => client.near.write('GET / HTTP/1.1\r\n'), limits.detectRaceMs + 60);
    expect(await found).toMatchObject({ row: 'http', from: 'client' });
    server.near.write('later');
    expect((await readBytes(server.far, 5)).toString()).toBe('later');
  });

  test('its failure is the flow\'s; one that comes too late is nobody\'s', async () => {
    const failing = await pair();
    await expect(detect(failing.far, null, { ...options, dialEarly: () => Promise.reject(new FlowError('DIAL_REFUSED')) })).rejects.toMatchObject({ code: 'DIAL_REFUSED' });
    const late = await pair();
    const dial = Promise.withResolvers<Socket>();
    const found = detect(late.far, null, { ...options, raceNow: true, dialEarly: () => dial.promise });
    late.near.write('GET / HTTP/1.1\r\n');
    expect(await found).toMatchObject({ row: 'http' });
    dial.reject(new FlowError('DIAL_TIMEOUT'));
    await pause(5);
  });

  test('a server that closes without a word: none; one that resets: RESET_BY_UPSTREAM', async () => {
    const [client, server] = [await pair(), await pair()];
    server.near.end();
    expect(await detect(client.far, server.far, { ...options, insideTls: true })).toMatchObject({ row: null, from: null, stalled: null });
    const [other, resetting] = [await pair(), await pair()];
    setTimeout(() => resetting.near.resetAndDestroy(), 20);
    await expect(detect(other.far, resetting.far, options)).rejects.toMatchObject({ code: 'RESET_BY_UPSTREAM' });
  });

  test('both silent: none with the reason outside a layer, IDLE_TIMEOUT inside one', async () => {
    const [client, server] = [await pair(), await pair()];
    expect(await detect(client.far, null, { ...options, dialEarly: async () => server.far })).toMatchObject({ row: null, from: null, stalled: 'FIRST_BYTES_STALLED' });
    await expect(detect(client.far, server.far, { ...options, insideTls: true })).rejects.toMatchObject({ code: 'IDLE_TIMEOUT' });
  });
});

describe('bounds', () => {
  const stubborn: DetectOptions = { ...options, detectors: { ...protocols, 'ms-turn': { detect: () => 'more' } }, limits: limitsWith({ detectMs: 700, peekBytesMax: 4_096, helloBytesMax: 4_096 }) };

  test('a full peek ends detection; not a byte is lost', async () => {
    const { near, far } = await pair();
    const much = Buffer.alloc(300_000, 'x');
    near.end(much);
    const found = await detect(far, null, stubborn);
    expect(found).toMatchObject({ row: null, stalled: null });
    expect(found.bytes.length).toBeGreaterThanOrEqual(4_096);
    expect(found.bytes.length).toBeLessThan(4_096 + 128 * 1024);
    expect((await readAll(far)).equals(much)).toBe(true);
  });

  test('a server that pours while the client is undecided is held by back-pressure', async () => {
    const [client, server] = [await pair(), await pair()];
    client.near.write('GET /');
    let poured = 0;
    const block = Buffer.alloc(64 * 1024);
    const pour = (): void => {
      while (poured < 64 * 1024 * 1024) {
        poured += block.length;
        if (!server.near.write(block)) {
          server.near.once('drain', pour);
          return;
        }
      }
    };
    pour();
    await detect(client.far, server.far, { ...stubborn, insideTls: true });
    expect(server.far.readableLength).toBeLessThan(1024 * 1024);
    expect(server.far.bytesRead).toBeLessThan(1024 * 1024);
  });
});

describe('switches', () => {
  test('a row that is off is not asked; its name inside TLS is another', async () => {
    const plain = await pair();
    plain.near.write('GET / HTTP/1.1\r\n');
    expect((await detect(plain.far, null, { ...options, switches: { off: new Set(['http']), on: new Set() } })).row).toBeNull();
    const inside = await pair();
    inside.near.write('GET / HTTP/1.1\r\n');
    expect((await detect(inside.far, null, { ...options, insideTls: true, switches: { off: new Set(['http']), on: new Set() } })).row).toBe('http');
    const off = await pair();
    off.near.write('GET / HTTP/1.1\r\n');
    expect((await detect(off.far, null, { ...options, insideTls: true, switches: { off: new Set(['https']), on: new Set() } })).row).toBeNull();
  });

  test('everything off: a first byte is enough to know nothing', async () => {
    const { near, far } = await pair();
    near.write('G');
    const startedAt = performance.now();
    const off = new Set(['ms-turn', 'ssltcp', 'tls', 'h2', 'http', 'sip', 'turn'] as const);
    expect(await detect(far, null, { ...options, switches: { off, on: new Set() } })).toMatchObject({ row: null, stalled: null });
    expect(performance.now() - startedAt).toBeLessThan(limits.detectMs);
  });
});

describe('inside a layer, what comes in the same turn as the end of the handshake', () => {
  const inside = { ...options, insideTls: true };

  test('is found although nobody listened yet, and stays in the stream', async () => {
    const [client, upstream] = [await pair(), await pair()];
    const found = detect(client.far, upstream.near, inside);
    client.far.push('GET / HTTP/1.1\r\n');
    expect(await found).toMatchObject({ row: 'http', from: 'client' });
    expect((await readBytes(client.far, 16)).toString()).toBe('GET / HTTP/1.1\r\n');
  });

  test('a FIN, and a reset', async () => {
    const [ended, reset, upstream] = [await pair(), await pair(), await pair()];
    const first = detect(ended.far, upstream.near, inside);
    ended.far.push(null);
    await expect(first).rejects.toMatchObject({ code: 'CLIENT_CLOSED_EARLY' });
    const second = detect(reset.far, upstream.near, inside);
    reset.far.on('error', () => {}).destroy(new Error('reset'));
    await expect(second).rejects.toMatchObject({ code: 'RESET_BY_CLIENT' });
  });
});

test('a hello that is nearly pseudo-TLS is a suspect of ms-turn', async () => {
  const { near, far } = await pair();
  const suspect = Buffer.concat([Buffer.from('160301002f0100002b0301', 'hex'), Buffer.alloc(32, 7), Buffer.from('000004000400050100', 'hex')]);
  near.write(suspect);
  const found = await detect(far, null, options);
  expect(found).toMatchObject({ row: 'ms-turn', suspect: true, facts: null });
  expect(found.bytes).toEqual(suspect);
});
