// TURN data frames through the relay with its taps against the same relay without, over loopback in one process: the cost of
// framing and observing. Rounds alternate so that a busy machine hurts both alike; the medians are compared.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Session } from '../src/core/flow.ts';
import { limitsWith } from '../src/core/limits.ts';
import { noMeter } from '../src/core/meters.ts';
import { relay } from '../src/core/relay.ts';
import { addressValue, encodeMessage, uint32 } from '../src/turn/codec.ts';
import { msAttributes, msTypes } from '../src/turn/names.ts';
import { TurnObserver } from '../src/turn/observer.ts';
import { turnTaps } from '../src/turn/tap.ts';

interface Shape {
  readonly name: string;
  /** One write of the sender: whole frames. */
  readonly chunk: Buffer;
  readonly framesPerChunk: number;
}

export interface TurnBenchRow {
  readonly shape: string;
  readonly opaqueMiBPerSecond: number;
  readonly tappedMiBPerSecond: number;
  readonly framesPerSecond: number;
  /** Tapped over opaque throughput; the done-when line is 0.85. */
  readonly ratio: number;
  /** CPU time of the process per byte, tapped over opaque; steadier than throughput on a busy machine. */
  readonly cpuRatio: number;
}

const limits = limitsWith();
const payloadBytes = 172;

/** Type-03 data frames as they come in bulk and one by one, and Send requests. */
export function turnShapes(): readonly Shape[] {
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

/** Runs `rounds` pairs of each shape; `bytesPerRound` go from client to upstream. */
export async function benchTurn(rounds: number, bytesPerRound: number): Promise<readonly TurnBenchRow[]> {
  const rows: TurnBenchRow[] = [];
  for (const shape of turnShapes()) {
    await measured(shape, bytesPerRound, true);
    await measured(shape, bytesPerRound, false);
    const opaque: Round[] = [];
    const tapped: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      opaque.push(await measured(shape, bytesPerRound, false));
      tapped.push(await measured(shape, bytesPerRound, true));
    }
    const opaqueRate = median(opaque.map((round) => round.bytesPerSecond));
    const tappedRate = median(tapped.map((round) => round.bytesPerSecond));
    rows.push({
      shape: shape.name,
      opaqueMiBPerSecond: opaqueRate / 2 ** 20,
      tappedMiBPerSecond: tappedRate / 2 ** 20,
      framesPerSecond: (tappedRate / shape.chunk.length) * shape.framesPerChunk,
      ratio: tappedRate / opaqueRate,
      cpuRatio: median(tapped.map((round) => round.cpuPerByte)) / median(opaque.map((round) => round.cpuPerByte)),
    });
  }
  return rows;
}

interface Round {
  readonly bytesPerSecond: number;
  readonly cpuPerByte: number;
}

async function measured(shape: Shape, bytes: number, tapped: boolean): Promise<Round> {
  const [sender, client] = await socketPair();
  const [upstream, receiver] = await socketPair();
  const session = benchSession();
  const observer = new TurnObserver(session, limits, noMeter, Date.now);
  const taps = turnTaps({ session, limits, policy, meter: noMeter, observer, framing: 'ms', hello: false, serverHello: null });
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

/** The `turn` stage without rules; no other stage is asked. */
const policy = { ...unasked(), has: () => false };

function unasked(): Parameters<typeof turnTaps>[0]['policy'] {
  const never = (): never => {
    throw new Error('the benchmark has no rules');
  };
  return { connection: never, ssl: never, certificate: never, protocol: never, http: never, sip: never, turn: never, has: never };
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

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

if (import.meta.main) {
  const quick = process.argv.includes('--quick');
  for (const row of await benchTurn(quick ? 3 : 9, (quick ? 64 : 256) * 2 ** 20)) {
    const { shape, opaqueMiBPerSecond, tappedMiBPerSecond, framesPerSecond, ratio, cpuRatio } = row;
    process.stdout.write(
      `${shape.padEnd(28)} opaque ${opaqueMiBPerSecond.toFixed(0)} MiB/s  tapped ${tappedMiBPerSecond.toFixed(0)} MiB/s  ratio ${ratio.toFixed(3)}  cpu ${cpuRatio.toFixed(3)}  ${framesPerSecond.toFixed(0)} frames/s\n`,
    );
  }
}
