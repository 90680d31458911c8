// The recorder on real sockets: what it writes is read back from its files, and what passes is what was sent.

import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Flow } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import { CaptureRecorder, readCaptureFigures, readCaptureOrder } from '../../../src/sessions/capture.ts';
import { captureFilesIn } from '../../../src/sessions/capture-files.ts';
import { FilterError } from '../../../src/sessions/filter.ts';
import { socketPair } from '../../support/pair.ts';
import type { Pair } from '../../support/pair.ts';
import { init, live, recordingMeter, startMs, testTable } from './support.ts';

let folder = '';
const pairs: Pair[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-recorder-'));
});
afterEach(async () => {
  for (const pair of pairs.splice(0)) pair.destroy();
  await rm(folder, { recursive: true });
});

const captures = (): string => join(folder, 'captures');
function recorderWith(more: { keylog?: string; folder?: string | null } = {}): CaptureRecorder {
  return new CaptureRecorder({ folder: captures(), keylog: null, worker: 'w1', limits: limitsWith(), meter: recordingMeter(), log: silentLogger, clock: () => startMs, ...more });
}
const order = (filter = '', durationMs = 60_000) => ({ filter, durationMs, name: 'time' });

/** A flow whose client's side is `far`; `near` is the client. */
async function flowOf(session: Session): Promise<{ flow: Flow; pair: Pair }> {
  const pair = await socketPair();
  pairs.push(pair);
  return { pair, flow: { session, raw: pair.far, client: pair.far, upstream: null, depth: 1, insideTls: true, repliedBytes: 0 } };
}

function sipsSession(): Session {
  const session = testTable().table.open(init({ client: { ip: '10.0.0.5', port: 50_000 } }), live());
  session.protocol = 'sips';
  session.chain = ['tls', 'sips'];
  return session;
}

/** Payloads of a capture's packets by source port, and its embedded secrets. */
async function recorded(): Promise<{ payloads: Record<number, string>; ports: number[]; flags: number[]; secrets: string }> {
  const answer = { payloads: {} as Record<number, string>, ports: [] as number[], flags: [] as number[], secrets: '' };
  for (const name of await captureFilesIn(captures())) {
    const file = await readFile(join(captures(), name));
    for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
      const type = file.readUInt32LE(at);
      if (type === 10) answer.secrets += file.subarray(at + 16, at + 16 + file.readUInt32LE(at + 12)).toString();
      if (type !== 6) continue;
      const packet = file.subarray(at + 28, at + 28 + file.readUInt32LE(at + 20));
      const tcp = packet.subarray((packet[0] ?? 0) >> 4 === 6 ? 40 : 20);
      const port = tcp.readUInt16BE(0);
      answer.payloads[port] = (answer.payloads[port] ?? '') + tcp.subarray(20).toString();
      answer.ports.push(tcp.readUInt16BE(2));
      answer.flags.push(tcp[13] ?? 0);
    }
  }
  return answer;
}

const arrived = async (pair: Pair, length: number): Promise<string> => {
  const chunks: Buffer[] = [];
  pair.near.on('data', (chunk: Buffer) => chunks.push(chunk));
  while (chunks.reduce((sum, chunk) => sum + chunk.length, 0) < length) await new Promise((resolve) => setTimeout(resolve, 5));
  return Buffer.concat(chunks).toString();
};

describe('off', () => {
  it('it wants no secrets and leaves sockets as they are', async () => {
    const recorder = recorderWith();
    const { flow } = await flowOf(sipsSession());
    expect(recorder.secrets(flow.session)).toBeNull();
    recorder.layer(flow);
    expect(['push', '_write', '_writev'].filter((name) => Object.hasOwn(flow.client, name))).toEqual([]);
    expect(recorder.figures()).toMatchObject({ running: false, packets: 0 });
    await recorder.close();
  });

  it('it cannot be started without a folder, nor with a wrong filter', async () => {
    await expect(recorderWith({ folder: null }).start(order())).rejects.toThrow(/off/);
    await expect(recorderWith().start(order('protocol=sipz'))).rejects.toBeInstanceOf(FilterError);
    expect(await captureFilesIn(captures())).toEqual([]);
  });
});

describe('a capture', () => {
  it('has what was peeked, read and written in every way, and changes none of it', async () => {
    const recorder = recorderWith();
    await recorder.start(order('protocol=sips'));
    const { flow, pair } = await flowOf(sipsSession());
    const secrets = recorder.secrets(flow.session);
    secrets?.(Buffer.from('CLIENT_RANDOM aa bb\n'));
    pair.near.write('peeked ');
    await new Promise((resolve) => flow.client.once('readable', resolve));
    recorder.layer(flow);
    // A handler that gave the layer back: the next one must not make it twice.
    recorder.layer(flow);
    const heard: Buffer[] = [];
    flow.client.on('data', (chunk: Buffer) => heard.push(chunk));
    pair.near.end('and read');
    await new Promise((resolve) => flow.client.once('end', resolve));
    expect(Buffer.concat(heard).toString()).toBe('peeked and read');
    flow.client.write('one ');
    flow.client.cork();
    flow.client.write('two ');
    flow.client.write('three ');
    flow.client.uncork();
    flow.client.write('zwölf ', 'utf8');
    flow.client.end('last');
    const said = 'one two three zwölf last';
    expect(await arrived(pair, Buffer.byteLength(said))).toBe(said);
    await new Promise((resolve) => (flow.client.closed ? resolve(null) : flow.client.once('close', resolve)));
    expect(recorder.figures()).toMatchObject({ running: true, sessions: 1, dropped: 0 });
    await recorder.close();
    const { payloads, ports, flags, secrets: kept } = await recorded();
    expect(payloads).toEqual({ 50_000: 'peeked and read', 5060: said });
    // SIP is looked for on its own port, not on the one that TLS had.
    expect(new Set(ports)).toEqual(new Set([5060, 50_000]));
    expect(flags.slice(0, 3)).toEqual([2, 18, 16]);
    expect(flags.slice(-3)).toEqual([17, 17, 16]);
    expect(kept).toBe('CLIENT_RANDOM aa bb\n');
  });

  it('leaves out what its filter does not name', async () => {
    const recorder = recorderWith();
    await recorder.start(order('protocol=ms-turn'));
    const { flow } = await flowOf(sipsSession());
    recorder.layer(flow);
    expect(Object.hasOwn(flow.client, 'push')).toBe(false);
    await recorder.close();
    expect((await recorded()).payloads).toEqual({});
  });

  it('ends when it is stopped; what was recorded goes on unrecorded', async () => {
    const recorder = recorderWith();
    await recorder.start(order());
    const { flow, pair } = await flowOf(sipsSession());
    recorder.layer(flow);
    flow.client.write('before ');
    await arrived(pair, 7);
    await recorder.stop();
    flow.client.write('after');
    expect(await arrived(pair, 5)).toBe('after');
    expect((await recorded()).payloads[5060]).toBe('before ');
    expect(recorder.figures()).toMatchObject({ running: false, sessions: 1 });
    expect(recorder.secrets(flow.session)).toBeNull();
  });

  it('ends by itself after its time', async () => {
    const recorder = recorderWith();
    await recorder.start(order('', 30));
    expect(recorder.figures().running).toBe(true);
    await expect.poll(() => recorder.figures().running).toBe(false);
  });
});

describe('the key log', () => {
  it('takes lines of every session, in a file of the owner alone, behind those that are there', async () => {
    const keylog = join(folder, 'keys.log');
    for (const line of ['A 1 2\n', 'B 3 4\n']) {
      const recorder = recorderWith({ keylog });
      recorder.secrets(sipsSession())?.(Buffer.from(line));
      await recorder.close();
    }
    expect(await readFile(keylog, 'utf8')).toBe('A 1 2\nB 3 4\n');
    expect((await stat(keylog)).mode & 0o777).toBe(0o600);
  });

  it('that cannot be written harms nobody', async () => {
    const recorder = recorderWith({ keylog: join(folder, 'absent', 'keys.log') });
    await new Promise((resolve) => setTimeout(resolve, 50));
    recorder.secrets(sipsSession())?.(Buffer.from('A 1 2\n'));
    await recorder.close();
  });
});

describe('what comes from other processes', () => {
  it('is taken only when it is whole', () => {
    expect(readCaptureOrder(order('a', 1))).toEqual({ filter: 'a', durationMs: 1, name: 'time' });
    for (const value of [null, 'x', {}, { filter: 1, durationMs: 1, name: 'a' }, { filter: '', durationMs: '1', name: 'a' }]) expect(readCaptureOrder(value)).toBeNull();
    const figures = { running: true, sessions: 1, packets: 2, bytes: 3, dropped: 0 };
    expect(readCaptureFigures([figures, null, { running: true }])).toEqual([figures]);
    expect(readCaptureFigures('x')).toEqual([]);
  });
});
