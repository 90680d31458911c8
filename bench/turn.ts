// TURN data frames through the relay with its taps against the same relay without, over loopback in one process: the cost of
// framing and observing.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Session } from '../src/core/session.ts';
import { limitsWith } from '../src/core/limits.ts';
import { noMeter } from '../src/core/meters.ts';
import { relay } from '../src/core/relay.ts';
import { addressValue, encodeMessage, uint32 } from '../src/turn/codec.ts';
import { msAttributes, msTypes } from '../src/turn/names.ts';
import { TurnObserver } from '../src/turn/observer.ts';
import { turnTaps } from '../src/turn/tap.ts';
import { columns } from './report.ts';
import type { PartReport } from './report.ts';
import { quantile } from './statistics.ts';

interface Shape {
  readonly name: string;
  /** One write of the sender: whole frames. */
  readonly chunk: Buffer;
  readonly framesPerChunk: number;
}

interface Row {
  readonly shape: string;
  readonly opaqueMiBPerSecond: number;
  readonly tappedMiBPerSecond: number;
  readonly framesPerSecond: number;
  /** Tapped over opaque throughput; the done-when line is 0.85. */
  readonly ratio: number;
  /** CPU time of the process per byte, tapped over opaque; steadier than throughput on a busy machine. */
  readonly cpuRatio: number;
  /** CPU time that the tap takes for one frame, nanoseconds. */
  readonly tapNsPerFrame: number;
}

const limits = limitsWith();
const payloadBytes = 172;
/** What Node reads at most at once. */
const readBytes = 64 * 1024;
/** The requirement, for data frames. */
const ratioRequired = 0.85;

interface TurnEffort {
  readonly rounds: number;
  readonly bytesPerRound: number;
}

const full: TurnEffort = { rounds: 15, bytesPerRound: 64 * 2 ** 20 };
const smoke: TurnEffort = { rounds: 1, bytesPerRound: 2 ** 20 };

/** Measures and answers the table; `isSmoke`: in a second, to show that it works, and nothing has to be reached. */
export async function benchTurn(isSmoke: boolean): Promise<PartReport> {
  const rows = await measureTurn(isSmoke ? smoke : full);
  const cells = rows.map(({ shape, opaqueMiBPerSecond, tappedMiBPerSecond, framesPerSecond, ratio, cpuRatio, tapNsPerFrame }) =>
    [shape, opaqueMiBPerSecond.toFixed(0), tappedMiBPerSecond.toFixed(0), ratio.toFixed(3), cpuRatio.toFixed(3), framesPerSecond.toFixed(0), tapNsPerFrame.toFixed(0)]);
  // On a busy machine throughput alone proves little: it is missed when CPU time says so too.
  const missed = rows.filter(({ shape, ratio, cpuRatio }) => shape.startsWith('data') && ratio < ratioRequired && 1 / cpuRatio < ratioRequired);
  return {
    text: `TURN: the relay with its taps beside the same relay without\n${columns([['', 'opaque MiB/s', 'tapped MiB/s', 'ratio', 'CPU ratio', 'frames/s', 'tap ns/frame'], ...cells])}`,
    missed: isSmoke ? [] : missed.map(({ shape }) => `${shape}: less than ${ratioRequired} of the bare relay's throughput`),
  };
}

/** Type-03 data frames as they come in bulk and one by one, and Send requests. */
function turnShapes(): readonly Shape[] {
  const data = Buffer.alloc(4 + payloadBytes, 0x80);
  data.set([3, 0, 0, payloadBytes]);
  const message = encodeMessage({
    dialect: 'ms', type: msTypes.send, key: Buffer.alloc(16, 1),
    attributes: [
      { type: msAttributes.username, value: Buffer.alloc(16, 0x61) },
      { type: msAttributes['destination-address'], value: addressValue({ ip: '192.0.2.7', port: 50_007 }) },
      { type: msAttributes['ms-version'], value: uint32(1) },
      { type: msAttributes['ms-sequence-number'], value: Buffer.alloc(24, 2) },
      { type: msAttributes.realm, value: Buffer.from('rtcmedia') },
      { type: msAttributes.data, value: Buffer.alloc(payloadBytes, 0x80) },
    ],
  });
  const send = Buffer.concat([Buffer.from([2, 0, message.length >> 8, message.length & 0xff]), message]);
  const times = (frame: Buffer, count: number): Buffer => Buffer.concat(Array<Buffer>(count).fill(frame));
  return [
    { name: 'data frames, in bulk', chunk: times(data, 300), framesPerChunk: 300 },
    { name: 'data frames, 20 a write', chunk: times(data, 20), framesPerChunk: 20 },
    { name: 'Send requests, 100 a write', chunk: times(send, 100), framesPerChunk: 100 },
  ];
}

/**
 * Runs `rounds` pairs of each shape; `bytesPerRound` go from client to upstream. The two of a pair run right after each other, in
 * turns of who is first, and are compared with each other only: what else the machine does hurts both alike.
 */
async function measureTurn({ rounds, bytesPerRound }: TurnEffort): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const shape of turnShapes()) {
    await measured(shape, bytesPerRound, true);
    await measured(shape, bytesPerRound, false);
    const pairs: { readonly opaque: Round; readonly tapped: Round }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const first = await measured(shape, bytesPerRound, round % 2 === 0);
      const second = await measured(shape, bytesPerRound, round % 2 !== 0);
      pairs.push(round % 2 === 0 ? { tapped: first, opaque: second } : { tapped: second, opaque: first });
    }
    const tappedRate = middle(pairs.map(({ tapped }) => tapped.bytesPerSecond));
    rows.push({
      shape: shape.name,
      opaqueMiBPerSecond: middle(pairs.map(({ opaque }) => opaque.bytesPerSecond)) / 2 ** 20,
      tappedMiBPerSecond: tappedRate / 2 ** 20,
      framesPerSecond: (tappedRate / shape.chunk.length) * shape.framesPerChunk,
      ratio: middle(pairs.map(({ opaque, tapped }) => tapped.bytesPerSecond / opaque.bytesPerSecond)),
      cpuRatio: middle(pairs.map(({ opaque, tapped }) => tapped.cpuPerByte / opaque.cpuPerByte)),
      tapNsPerFrame: tapAlone(shape),
    });
  }
  return rows;
}

/** CPU time of the tap itself for one frame, in nanoseconds, on reads of 64 KiB. */
function tapAlone(shape: Shape): number {
  const { taps, observer } = watched();
  const stream = Buffer.concat(Array<Buffer>(Math.ceil((16 * readBytes) / shape.chunk.length)).fill(shape.chunk));
  const reads: Buffer[] = [];
  for (let at = 0; at < stream.length; at += readBytes) reads.push(stream.subarray(at, at + readBytes));
  const repeats = 100;
  const before = process.cpuUsage();
  for (let repeat = 0; repeat < repeats; repeat += 1) for (const read of reads) taps.client.push(read);
  const { user, system } = process.cpuUsage(before);
  observer.end();
  return ((user + system) * 1000) / (repeats * (stream.length / shape.chunk.length) * shape.framesPerChunk);
}

interface Round {
  readonly bytesPerSecond: number;
  readonly cpuPerByte: number;
}

async function measured(shape: Shape, bytes: number, tapped: boolean): Promise<Round> {
  const [sender, client] = await socketPair();
  const [upstream, receiver] = await socketPair();
  const { taps, observer } = watched();
  const relaying = relay(client, upstream, {
    idleMs: limits.turnIdleMs, halfOpenMs: limits.halfOpenMs, injectBytesMax: limits.injectBytesMax,
    ...(tapped && { clientTap: taps.client, upstreamTap: taps.upstream }),
  });
  let received = 0;
  receiver.on('data', (chunk: Buffer) => (received += chunk.length));
  const finished = once(receiver, 'end');
  receiver.resume();
  const chunks = Math.ceil(bytes / shape.chunk.length);
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  for (let sent = 0; sent < chunks; sent += 1) {
    if (!sender.write(shape.chunk)) await once(sender, 'drain');
  }
  sender.end();
  await finished;
  const seconds = (performance.now() - before) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  receiver.end();
  await relaying;
  observer.end();
  const frames = Object.values(observer.details.messages).reduce((sum, count) => sum + count, 0);
  if (received !== chunks * shape.chunk.length || (tapped && frames !== chunks * shape.framesPerChunk)) throw new Error('bytes or frames were lost');
  sender.destroy();
  return { bytesPerSecond: received / seconds, cpuPerByte: (cpu.user + cpu.system) / received };
}

function watched(): { taps: ReturnType<typeof turnTaps>; observer: TurnObserver } {
  const session = benchSession();
  const observer = new TurnObserver(session, limits, noMeter, Date.now);
  return { observer, taps: turnTaps({ session, limits, policy, meter: noMeter, observer, framing: 'ms', hello: false, serverHello: null }) };
}

/** The `turn` stage without rules; no other stage is asked. */
const policy = { ...unasked(), has: () => false };

function unasked(): Parameters<typeof turnTaps>[0]['policy'] {
  const never = (): never => {
    throw new Error('the benchmark has no rules');
  };
  return { connection: never, ssl: never, certificate: never, protocol: never, http: never, sip: never, turn: never, has: never };
}

function middle(values: readonly number[]): number {
  return quantile(values, 0.5);
}

async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const [far] = await accepted;
  server.close();
  return [near, far];
}

function benchSession(): Session {
  return {
    id: 'bench', service: 'bench', client: { ip: '127.0.0.1', port: 1 }, destination: { ip: '127.0.0.1', port: 443, host: null }, startedAt: 0, endedAt: null,
    state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'ms-turn', chain: ['ms-turn'], action: 'handoff', tunnelledOnError: null,
    rule: null, error: null, errorDetail: null, note: null, bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 },
    tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}
