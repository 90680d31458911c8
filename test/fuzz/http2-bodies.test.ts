// Bodies through the HTTP/2 bridge, over TLS on both sides as after an interception, with random sizes, chunks, windows, TLS records and pauses: while
// their connections stay, none loses, repeats or reorders a byte, and none that an end resets with an error looks complete. Seeded: SALLYPORT_FUZZ_SEED.

import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type net from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EndedRequest, Flow } from '../../src/core/flow.ts';
import { exchangeHttp2 } from '../../src/http/h2.ts';
import { issueServer, makeRoot } from '../support/certs.ts';
import { generator } from '../support/mutate.ts';
import { portOf } from '../support/pair.ts';
import { depsFor, listen, sessionFor } from '../unit/http/harness.ts';

type Random = (below: number) => number;

const seed = Number(process.env['SALLYPORT_FUZZ_SEED'] ?? 1);
const connections = Number(process.env['SALLYPORT_FUZZ_ROUNDS'] ?? 6);
const requestsEach = 100;
/** Every body is a piece of it, so that a byte out of place shows. */
const noise = createHash('shake256', { outputLength: 2 * 1024 * 1024 }).update('bodies').digest();
/** Where windows, frames and TLS records end, and what git sends before a large push. */
const edges = [0, 1, 4, 5, 1_023, 1_024, 16_383, 16_384, 16_385, 32_768, 65_534, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145];
/** When the server answers; `cut`: at once, and with a reset in the middle. */
const manners = ['after', 'at once', 'cut'] as const;

interface Plan {
  readonly manner: (typeof manners)[number];
  /** The client leaves in the middle of its body. */
  readonly leaves: boolean;
  readonly up: Piece;
  readonly down: Piece;
}
interface Piece {
  readonly at: number;
  readonly length: number;
}

const root = makeRoot('Bodies test root');
const leaf = issueServer(root, { names: ['localhost'] });
const identity = { cert: leaf.certPem, key: leaf.keyPem, ALPNProtocols: ['h2'] };
/** What the server received of each request, and whether it took it for whole. */
const arrived = new Map<string, { hash: string; bytes: number; whole: boolean }>();
const logged = new Map<string, EndedRequest>();
const asked: { path: string; plan: Plan; told: string }[] = [];
const closers: (() => void)[] = [];
let originRandom: Random = generator(seed);
let originWindow = 65_535;
let originPort = 0;
let gatewayPort = 0;

beforeAll(async () => {
  const origin = tls.createServer(identity, (socket) => {
    socket.on('error', () => {});
    if (originRandom(2) === 0) socket.setMaxSendFragment(512 + originRandom(15_000));
    const session = http2.performServerHandshake(socket, { settings: { initialWindowSize: originWindow, maxConcurrentStreams: 200 } });
    session.on('error', () => {});
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void serve(stream, headers));
  });
  originPort = await listen(origin);
  const gateway = tls.createServer({ ...identity, allowHalfOpen: true, pauseOnConnect: true }, (client) => void intercept(client));
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  gatewayPort = portOf(gateway);
  closers.push(() => origin.close(), () => gateway.close());
});

afterAll(() => {
  for (const close of closers) close();
});

async function intercept(client: tls.TLSSocket): Promise<void> {
  const upstream = await new Promise<tls.TLSSocket>((resolve) => {
    const options = { port: originPort, host: '127.0.0.1', ca: root.certPem, servername: 'localhost', ALPNProtocols: ['h2'], allowHalfOpen: true };
    const socket = tls.connect(options, () => resolve(socket));
  });
  const flow: Flow = { session: { ...sessionFor(), sni: 'localhost' }, raw: client as net.Socket, client, upstream, depth: 1, insideTls: true, repliedBytes: 0 };
  await exchangeHttp2(flow, depsFor({ logged: (request) => logged.set(request.target, request) })).catch(() => {});
}

async function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  const random = originRandom;
  const plan: Plan = JSON.parse(String(headers['x-plan']));
  stream.on('error', () => {});
  const received = take(stream, random);
  const trailersSeen = new Promise<unknown>((resolve) => {
    stream.on('trailers', (trailers) => resolve(trailers['x-hash']));
    stream.on('close', () => resolve(null));
  });
  if (plan.manner === 'after') await new Promise<void>((resolve) => stream.once('end', resolve).once('close', resolve));
  if (stream.destroyed) return;
  stream.respond({ ':status': 200, ...(random(2) === 0 && plan.manner !== 'cut' ? { 'content-length': plan.down.length } : {}) }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-hash': hashOf(plan.down) }));
  const sent = give(stream, plan.manner === 'cut' ? { ...plan.down, length: random(plan.down.length + 1) } : plan.down, random, plan.manner === 'cut');
  await sent;
  if (plan.manner === 'cut') stream.close([http2.constants.NGHTTP2_INTERNAL_ERROR, http2.constants.NGHTTP2_CANCEL][random(2)]);
  const { hash, bytes, ended } = await received;
  arrived.set(String(headers[':path']), { hash, bytes, whole: ended && await trailersSeen === hashOf(plan.up) });
}

/** Reads to the end, with pauses. */
function take(stream: Duplex, random: Random): Promise<{ hash: string; bytes: number; ended: boolean }> {
  const hash = createHash('sha256');
  let [bytes, ended] = [0, false];
  stream.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (random(20) !== 0) return;
    stream.pause();
    setTimeout(() => stream.resume(), random(8));
  });
  stream.on('end', () => (ended = true));
  return new Promise((resolve) => stream.on('close', () => resolve({ hash: hash.digest('hex'), bytes, ended })));
}

/** Writes in chunks of any size, with pauses and without heed of what is waiting, or with. */
async function give(stream: Duplex, { at, length }: Piece, random: Random, open: boolean): Promise<void> {
  const [largest, heeds] = [[1, 100, 5_000, 70_000, 400_000][length < 2_000 ? random(5) : 1 + random(4)] ?? 1, random(3) > 0];
  for (let sent = 0; sent < length && !stream.destroyed && stream.writable;) {
    const size = Math.min(length - sent, 1 + random(largest));
    const room = stream.write(noise.subarray(at + sent, at + sent + size));
    sent += size;
    if (!room && heeds) await new Promise<void>((resolve) => stream.once('drain', resolve).once('close', resolve));
    if (random(30) === 0) await sleep(random(6));
  }
  if (!open && stream.writable) stream.end();
}

function hashOf({ at, length }: Piece): string {
  return createHash('sha256').update(noise.subarray(at, at + length)).digest('hex');
}

function planned(random: Random): Plan {
  const piece = (): Piece => {
    const length = [random(200), random(20_000), edges[random(edges.length)] ?? 0, random(random(8) === 0 ? 600_000 : 100_000)][random(4)] ?? 0;
    return { at: random(noise.length - length), length };
  };
  const manner = manners[[0, 0, 0, 0, 1, 1, 1, 1, 1, 2][random(10)] ?? 0] ?? 'after';
  return { manner, leaves: random(12) === 0, up: piece(), down: piece() };
}

/** Neither end resets it: both bodies arrive whole, however early the answer. */
function isWhole({ plan }: { readonly plan: Plan }): boolean {
  return plan.manner !== 'cut' && !plan.leaves;
}

/** One request and what must be true of it at both ends. */
async function ask(session: ClientHttp2Session, path: string, random: Random): Promise<void> {
  const plan = planned(random);
  const lengths = random(2) === 0 && !plan.leaves ? { 'content-length': plan.up.length } : {};
  const stream: ClientHttp2Stream = session.request({ ':method': 'POST', ':path': path, 'x-plan': JSON.stringify(plan), ...lengths }, { waitForTrailers: true, endStream: false });
  let trailers: IncomingHttpHeaders = {};
  stream.on('error', () => {});
  stream.on('trailers', (received) => (trailers = received));
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-hash': hashOf(plan.up) }));
  const answer = take(stream, random);
  await give(stream, plan.leaves ? { ...plan.up, length: random(plan.up.length + 1) } : plan.up, random, plan.leaves);
  if (plan.leaves) stream.close([http2.constants.NGHTTP2_CANCEL, http2.constants.NGHTTP2_INTERNAL_ERROR][random(2)]);
  const { hash, bytes, ended } = await answer;
  const whole = ended && stream.rstCode === http2.constants.NGHTTP2_NO_ERROR && trailers['x-hash'] !== undefined;
  const told = `seed ${String(seed)} ${path} ${JSON.stringify(plan)} rst ${String(stream.rstCode)}`;
  if (whole) expect([bytes, hash], told).toEqual([plan.down.length, hashOf(plan.down)]);
  else expect(hash, told).toBe(hashOf({ at: plan.down.at, length: bytes }));
  if (plan.manner === 'cut') expect(whole, told).toBe(false);
  else if (!plan.leaves) expect(whole, told).toBe(true);
  asked.push({ path, plan, told });
}

test('bodies arrive as they were sent, or are cut off visibly', { timeout: 120_000 }, async () => {
  const random = generator(seed);
  for (let connection = 0; connection < connections; connection += 1) {
    originRandom = generator(seed * 1_000 + connection);
    originWindow = [1_000, 5_000, 65_535, 65_535, 1_000_000][random(5)] ?? 65_535;
    const socket = tls.connect({ port: gatewayPort, host: '127.0.0.1', ca: root.certPem, servername: 'localhost', ALPNProtocols: ['h2'] });
    if (random(2) === 0) socket.setMaxSendFragment(512 + random(15_000));
    const session = http2.connect('https://localhost', { createConnection: () => socket, settings: { initialWindowSize: [1_000, 5_000, 65_535, 1_000_000][random(4)] ?? 65_535 } });
    session.on('error', () => {});
    const together = 1 + random(40);
    let next = 0;
    await Promise.all(Array.from({ length: together }, async () => {
      while (next < requestsEach) {
        next += 1;
        await ask(session, `/${String(connection)}/${String(next)}`, random);
      }
    }));
    // Over TLS, Node drops what a server has not yet read of a stream when its client closes, without a gateway as well: the client stays until it was heard.
    for (const { path, told } of asked.filter(isWhole)) await expect.poll(() => arrived.has(path), { timeout: 10_000, message: told }).toBe(true);
    await new Promise<void>((resolve) => session.close(resolve));
  }
  expect(asked).toHaveLength(connections * requestsEach);
  for (const { path, plan, told } of asked) {
    const whole = isWhole({ plan });
    if (whole) await expect.poll(() => logged.has(path), { timeout: 10_000, message: told }).toBe(true);
    const upload = arrived.get(path);
    if (upload === undefined) continue;
    expect(upload.hash, told).toBe(hashOf({ at: plan.up.at, length: upload.bytes }));
    if (plan.leaves) expect(upload.whole, told).toBe(false);
    if (upload.whole) expect(upload.bytes, told).toBe(plan.up.length);
    const request = logged.get(path);
    if (whole) expect([upload.whole, upload.bytes, request?.fromClientBytes, request?.toClientBytes], told).toEqual([true, plan.up.length, plan.up.length, plan.down.length]);
  }
});
