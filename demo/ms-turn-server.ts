// A small MS-TURN server over TCP, pseudo-TLS and bare: the 401 round with MESSAGE-INTEGRITY checked, allocations, Send echoed as
// Data Indication, Set Active Destination, type-03 data frames echoed; multiplexed frames likewise, by session. It relays to nobody: every peer is an echo.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { setTimeout as wait } from 'node:timers/promises';
import { addressValue, attributeOf, checkIntegrity, decodeMessage, encodeMessage, errorValue, longTermKey, numberOf, uint32, xorAddressValue } from '../src/turn/codec.ts';
import type { Address, TurnAttribute, TurnMessage } from '../src/turn/codec.ts';
import { makeHello, msClientHello, msServerHello, startsLike } from '../src/turn/hello.ts';
import { msAttributes, msTypes } from '../src/turn/names.ts';
import { FrameSocket, controlFrame, dataFrame, frameBytes, isMultiplexed } from './turn-frames.ts';

export interface MsTurnServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Passwords by user; both are octets, as MRAS hands them out after base64. */
  readonly users: Readonly<Record<string, string>>;
  readonly realm?: string;
  /** Sends the pseudo hello in two writes, the first of this many bytes: libnice gives up on that unless someone in between joins them. */
  readonly splitHello?: number;
  /** Takes any hello record for MS-TURN's, as servers may that skip it by its length. */
  readonly anyHello?: boolean;
}

export interface MsTurnServerStats {
  connections: number;
  pseudoTls: number;
  challenges: number;
  allocations: number;
  /** Requests refused for bad credentials. */
  refused: number;
  sends: number;
  /** Send requests whose MESSAGE-INTEGRITY did not match: someone changed bytes on the way. */
  tampered: number;
  activeDestinations: number;
  dataFrames: number;
  /** Frames of a session of a multiplexed connection, and how many sessions there were. */
  multiplexedFrames: number;
  sessions: number;
  /** SHA-256 of what each closed connection received and sent, in order of closing. */
  readonly hashes: { readonly received: string; readonly sent: string }[];
}

export interface MsTurnServer {
  readonly port: number;
  readonly stats: MsTurnServerStats;
  close(): Promise<void>;
}

const lifetimeSeconds = 600;
const bandwidth = 500;
const splitPauseMs = 150;
const version = 1;

/** Listens and serves until `close`, which also ends what is open. */
export async function startMsTurnServer(options: MsTurnServerOptions): Promise<MsTurnServer> {
  const stats: MsTurnServerStats = {
    connections: 0, pseudoTls: 0, challenges: 0, allocations: 0, refused: 0, sends: 0, tampered: 0, activeDestinations: 0, dataFrames: 0, multiplexedFrames: 0, sessions: 0, hashes: [],
  };
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => open.delete(socket));
    void new Connection(socket, options, stats).serve().finally(() => socket.end());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    stats,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

class Connection {
  readonly #frames: FrameSocket;
  readonly #options: MsTurnServerOptions;
  readonly #stats: MsTurnServerStats;
  readonly #realm: string;
  readonly #client: Address;
  readonly #local: Address;
  readonly #nonce = randomBytes(16).toString('hex');
  readonly #connectionId = randomBytes(20);
  /** Sessions of a multiplexed connection, numbered from 1. */
  readonly #sessions = new Map<string, number>();
  #session: Buffer | null = null;
  #key: Buffer | null = null;

  constructor(socket: Socket, options: MsTurnServerOptions, stats: MsTurnServerStats) {
    this.#frames = new FrameSocket(socket);
    this.#options = options;
    this.#stats = stats;
    this.#realm = options.realm ?? 'rtcmedia';
    this.#client = { ip: socket.remoteAddress ?? '0.0.0.0', port: socket.remotePort ?? 0 };
    // Never the client's own port: a relayed candidate equal to the reflexive one is dropped by ICE.
    this.#local = { ip: socket.localAddress ?? '0.0.0.0', port: 50_000 + (((socket.remotePort ?? 0) + 1) % 10_000) };
    stats.connections += 1;
  }

  async serve(): Promise<void> {
    if (await this.#hello()) {
      for (let frame = await this.#frames.frame(); frame !== null; frame = await this.#frames.frame()) {
        this.#enter(frame.session);
        if (frame.type === dataFrame) {
          this.#stats.dataFrames += 1;
          this.#frames.send(frameBytes(dataFrame, frame.body, this.#session));
        } else if (frame.type !== controlFrame || !this.#control(frame.body)) break;
      }
    }
    this.#stats.hashes.push(this.#frames.hashes());
  }

  /** What follows is of this session, and is answered in it. */
  #enter(session: Buffer | null): void {
    this.#session = session;
    if (session === null) return;
    this.#stats.multiplexedFrames += 1;
    const id = session.toString('hex');
    if (this.#sessions.has(id)) return;
    this.#sessions.set(id, this.#sessions.size + 1);
    this.#stats.sessions += 1;
  }

  /** Answers a pseudo hello; true when frames follow. */
  async #hello(): Promise<boolean> {
    const first = await this.#frames.peek(2);
    if (first === null || first[0] === controlFrame || isMultiplexed(first)) return first !== null;
    if (!(await this.#takeHello())) return false;
    this.#stats.pseudoTls += 1;
    const answer = makeHello(msServerHello);
    const { splitHello } = this.#options;
    if (splitHello === undefined) this.#frames.send(answer);
    else {
      this.#frames.send(answer.subarray(0, splitHello));
      await wait(splitPauseMs);
      this.#frames.send(answer.subarray(splitHello));
    }
    return true;
  }

  async #takeHello(): Promise<boolean> {
    if (this.#options.anyHello !== true) {
      const hello = await this.#frames.take(msClientHello.fixed.length);
      return hello !== null && startsLike(hello, msClientHello);
    }
    const head = await this.#frames.peek(5);
    return head !== null && head[0] === 0x16 && (await this.#frames.take(5 + head.readUInt16BE(3))) !== null;
  }

  /** False for what is no MS-TURN message: the connection ends. */
  #control(bytes: Buffer): boolean {
    const message = decodeMessage(bytes, 'ms');
    if (message === null || !message.whole) return false;
    if (message.type === msTypes.allocate) this.#allocate(message, bytes);
    else if (message.type === msTypes['set-active-destination']) this.#setActiveDestination(message, bytes);
    else if (message.type === msTypes.send) this.#send(message, bytes);
    else return false;
    return true;
  }

  #allocate(message: TurnMessage, bytes: Buffer): void {
    const user = attributeOf(message, msAttributes.username);
    if (user === null || attributeOf(message, msAttributes.nonce)?.toString() !== this.#nonce) {
      this.#stats.challenges += 1;
      this.#error(message, msTypes['allocate-error'], user === null ? 401 : 438, user === null ? 'Unauthorized' : 'Stale Nonce');
      return;
    }
    const password = this.#options.users[user.toString('latin1')];
    const key = password === undefined ? null : longTermKey(user, this.#realm, Buffer.from(password, 'latin1'));
    if (key === null || checkIntegrity(bytes, 'ms', key) !== 'match') {
      this.#stats.refused += 1;
      this.#error(message, msTypes['allocate-error'], key === null ? 430 : 431, key === null ? 'Unknown Username' : 'Integrity Check Failure');
      return;
    }
    this.#key = key;
    this.#stats.allocations += 1;
    const lifetime = numberOf(message, msAttributes.lifetime) ?? lifetimeSeconds;
    this.#answer(message, msTypes['allocate-response'], [
      { type: msAttributes['mapped-address'], value: addressValue(this.#relay()) },
      { type: msAttributes.lifetime, value: uint32(lifetime) },
      { type: msAttributes.bandwidth, value: uint32(bandwidth) },
      { type: msAttributes['xor-mapped-address'], value: xorAddressValue(this.#client, message.transaction) },
      { type: msAttributes['ms-sequence-number'], value: Buffer.concat([this.#connectionId, uint32(0)]) },
    ]);
  }

  /** Each session of a connection has a port of its own. */
  #relay(): Address {
    const index = this.#session === null ? 0 : this.#sessions.get(this.#session.toString('hex')) ?? 0;
    return { ip: this.#local.ip, port: this.#local.port + index };
  }

  #setActiveDestination(message: TurnMessage, bytes: Buffer): void {
    if (this.#key === null || checkIntegrity(bytes, 'ms', this.#key) !== 'match') {
      this.#stats.refused += 1;
      this.#error(message, msTypes['set-active-destination-error'], 401, 'Unauthorized');
      return;
    }
    this.#stats.activeDestinations += 1;
    this.#answer(message, msTypes['set-active-destination-response'], []);
  }

  /** Send is never answered (MS-TURN 3.3.5.2); the echo comes as a Data Indication from the peer it was for. */
  #send(message: TurnMessage, bytes: Buffer): void {
    const destination = attributeOf(message, msAttributes['destination-address']);
    const data = attributeOf(message, msAttributes.data);
    if (this.#key === null || checkIntegrity(bytes, 'ms', this.#key) !== 'match') {
      this.#stats.tampered += 1;
      return;
    }
    this.#stats.sends += 1;
    if (destination === null || data === null) return;
    this.#reply(msTypes['data-indication'], undefined, [
      { type: msAttributes['ms-version'], value: uint32(version) },
      { type: msAttributes['remote-address'], value: destination },
      { type: msAttributes.data, value: data },
    ]);
  }

  #answer(request: TurnMessage, type: number, attributes: readonly TurnAttribute[]): void {
    this.#reply(type, request.transaction, attributes);
  }

  #error(request: TurnMessage, type: number, code: number, reason: string): void {
    this.#reply(type, request.transaction, [
      { type: msAttributes['error-code'], value: errorValue(code, reason) },
      { type: msAttributes.nonce, value: Buffer.from(this.#nonce) },
      { type: msAttributes.realm, value: Buffer.from(this.#realm) },
      { type: msAttributes['ms-version'], value: uint32(version) },
    ]);
  }

  #reply(type: number, transaction: Buffer | undefined, attributes: readonly TurnAttribute[]): void {
    const key = this.#key;
    const message = encodeMessage({ dialect: 'ms', type, attributes, ...(transaction && { transaction }), ...(key && { key }) });
    this.#frames.send(frameBytes(controlFrame, message, this.#session));
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { listen: { type: 'string', default: '127.0.0.1:3478' }, user: { type: 'string', multiple: true, default: ['demo:demo'] }, realm: { type: 'string', default: 'rtcmedia' }, 'split-hello': { type: 'string' }, 'any-hello': { type: 'boolean', default: false } },
  });
  const colon = values.listen.lastIndexOf(':');
  const users = Object.fromEntries(values.user.map((pair) => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)]));
  const split = values['split-hello'];
  const server = await startMsTurnServer({
    host: values.listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(values.listen.slice(colon + 1)), users, realm: values.realm, anyHello: values['any-hello'], ...(split !== undefined && { splitHello: Number(split) }),
  });
  process.stdout.write(`listening on port ${server.port}\n`);
  process.once('SIGTERM', () => {
    process.stdout.write(`${JSON.stringify(server.stats)}\n`);
    void server.close().then(() => process.exit(0));
  });
}
