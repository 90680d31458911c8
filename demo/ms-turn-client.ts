// A small MS-TURN client: pseudo-TLS or bare, the authenticated Allocate, Send requests, Set Active Destination and data frames,
// each echoed by the peer; or several such exchanges multiplexed on one connection. It reports what it saw; it holds no media and retries nothing.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as tcpConnect } from 'node:net';
import type { Duplex } from 'node:stream';
import { parseArgs } from 'node:util';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { addressText, addressValue, attributeOf, checkIntegrity, decodeMessage, encodeMessage, errorOf, longTermKey, newTransaction, numberOf, readAddress, readXorAddress, uint32 } from '../src/turn/codec.ts';
import type { Address, TurnAttribute, TurnMessage } from '../src/turn/codec.ts';
import { makeHello, msClientHello, msServerHello, startsLike } from '../src/turn/hello.ts';
import { msAttributes, msTypes } from '../src/turn/names.ts';
import { FrameSocket, controlFrame, dataFrame, frameBytes } from './turn-frames.ts';
import type { Frame } from './turn-frames.ts';

export interface MsTurnClientOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Begin with the pseudo hello (as clients do on 443), or bare framed. */
  readonly pseudoTls?: boolean;
  /** The hello to begin with in place of the usual one. */
  readonly hello?: Buffer;
  /** Makes the connection, through a proxy for example; plain TCP when absent. */
  readonly connect?: () => Promise<Duplex>;
  readonly peer?: Address;
  /** Send requests before the active destination is set, and data frames after. */
  readonly sends?: number;
  readonly dataFrames?: number;
  readonly payloadBytes?: number;
  /** Writes everything in pieces of this many bytes. */
  readonly splitBytes?: number;
  /** That many sessions on one connection, in multiplexed frames (MS-TURN 2.2.3), taking turns; each has a peer one address further. */
  readonly sessions?: number;
  readonly timeoutMs?: number;
}

export interface MsTurnReport {
  /** Null when all went well, else what did not. */
  readonly failure: string | null;
  /** The error code of the last error response, challenges apart. */
  readonly errorCode: number | null;
  readonly relayed: string | null;
  readonly reflexive: string | null;
  readonly lifetimeSeconds: number | null;
  readonly indications: number;
  readonly dataFrames: number;
  /** Echoed payload equal to what was sent. */
  readonly echoedBytes: number;
  readonly hashes: { readonly received: string; readonly sent: string };
}

class Failure extends Error {}

/** Runs one exchange from hello to freeing the allocation. Never rejects: faults are in the report. */
export async function runMsTurnClient(options: MsTurnClientOptions): Promise<MsTurnReport> {
  let socket: Duplex;
  try {
    socket = options.connect === undefined ? await connectTcp(options.host, options.port) : await options.connect();
  } catch (error) {
    return { ...nothing, failure: `cannot connect: ${error instanceof Error ? error.message : String(error)}` };
  }
  const timer = setTimeout(() => socket.destroy(), options.timeoutMs ?? 10_000);
  try {
    return await run(new FrameSocket(socket), options);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const nothing: MsTurnReport = {
  failure: null, errorCode: null, relayed: null, reflexive: null, lifetimeSeconds: null, indications: 0, dataFrames: 0, echoedBytes: 0, hashes: { received: '', sent: '' },
};

/** The phases of one exchange, or of several in turns: what each saw is added up. */
async function run(frames: FrameSocket, options: MsTurnClientOptions): Promise<MsTurnReport> {
  const { sessions = 0 } = options;
  const exchanges = sessions === 0 ? [new Exchange(frames, options, 0, null)] : Array.from({ length: sessions }, (_, index) => new Exchange(frames, options, index, randomBytes(8)));
  let failure: string | null = null;
  try {
    if (options.pseudoTls !== false) await exchanges[0]?.hello();
    for (const phase of ['allocate', 'sends', 'dataFrames', 'free'] as const) for (const exchange of exchanges) await exchange[phase]();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    failure = error.message;
  }
  const reports = exchanges.map(({ report }) => report);
  const sum = (read: (report: MsTurnReport) => number): number => reports.reduce((total, report) => total + read(report), 0);
  return {
    ...reports[0] ?? nothing, failure, errorCode: reports.find(({ errorCode }) => errorCode !== null)?.errorCode ?? null,
    indications: sum(({ indications }) => indications), dataFrames: sum(({ dataFrames }) => dataFrames), echoedBytes: sum(({ echoedBytes }) => echoedBytes), hashes: frames.hashes(),
  };
}

class Exchange {
  report: MsTurnReport = nothing;
  readonly #frames: FrameSocket;
  readonly #options: MsTurnClientOptions;
  readonly #session: Buffer | null;
  readonly #peer: TurnAttribute;
  #key: Buffer | null = null;
  #login: readonly TurnAttribute[] = [];
  #sequence = 0;

  constructor(frames: FrameSocket, options: MsTurnClientOptions, index: number, session: Buffer | null) {
    this.#frames = frames;
    this.#options = options;
    this.#session = session;
    const { ip, port } = options.peer ?? { ip: '192.0.2.7', port: 50_007 };
    this.#peer = { type: msAttributes['destination-address'], value: addressValue({ ip: ip.replace(/\d+$/, (last) => String(Number(last) + index)), port }) };
  }

  async hello(): Promise<void> {
    await this.#write(this.#options.hello ?? makeHello(msClientHello));
    const answer = await this.#frames.take(msServerHello.fixed.length);
    if (answer === null || !startsLike(answer, msServerHello)) throw new Failure('no pseudo-TLS answer');
  }

  async allocate(): Promise<void> {
    const version = { type: msAttributes['ms-version'], value: uint32(1) };
    const challenge = await this.#request(msTypes.allocate, [version]);
    const realm = attributeOf(challenge, msAttributes.realm);
    const nonce = attributeOf(challenge, msAttributes.nonce);
    if (errorOf(challenge)?.code !== 401 || realm === null || nonce === null) throw this.#refused('Allocate', challenge);
    const user = Buffer.from(this.#options.user, 'latin1');
    this.#key = longTermKey(user, realm, Buffer.from(this.#options.password, 'latin1'));
    this.#login = [
      version, { type: msAttributes.realm, value: realm }, { type: msAttributes.nonce, value: nonce }, { type: msAttributes.username, value: user },
    ];
    const response = await this.#request(msTypes.allocate, this.#login);
    if (response.type !== msTypes['allocate-response']) throw this.#refused('Allocate', response);
    const relayed = readAddress(attributeOf(response, msAttributes['mapped-address']) ?? Buffer.alloc(0));
    const reflexive = readXorAddress(attributeOf(response, msAttributes['xor-mapped-address']) ?? Buffer.alloc(0), response.transaction);
    this.report = {
      ...this.report,
      relayed: relayed === null ? null : addressText(relayed),
      reflexive: reflexive === null ? null : addressText(reflexive),
      lifetimeSeconds: numberOf(response, msAttributes.lifetime),
    };
  }

  async sends(): Promise<void> {
    for (let sent = 0; sent < (this.#options.sends ?? 2); sent += 1) {
      const data = this.#payload(sent);
      await this.#write(this.#message(msTypes.send, [...this.#login, this.#peer, this.#nextSequence(), { type: msAttributes.data, value: data }], newTransaction('ms')));
      const indication = decodeMessage((await this.#next(controlFrame)).body, 'ms');
      const echo = indication?.type === msTypes['data-indication'] ? attributeOf(indication, msAttributes.data) : null;
      if (echo === null || !echo.equals(data)) throw new Failure('a Send was not echoed');
      this.report = { ...this.report, indications: this.report.indications + 1, echoedBytes: this.report.echoedBytes + echo.length };
    }
  }

  async dataFrames(): Promise<void> {
    const wanted = this.#options.dataFrames ?? 3;
    if (wanted === 0) return;
    const response = await this.#request(msTypes['set-active-destination'], [...this.#login, this.#peer, this.#nextSequence()]);
    if (response.type !== msTypes['set-active-destination-response']) throw this.#refused('Set Active Destination', response);
    for (let sent = 0; sent < wanted; sent += 1) {
      const data = this.#payload(sent);
      await this.#write(frameBytes(dataFrame, data, this.#session));
      const echo = (await this.#next(dataFrame)).body;
      if (!echo.equals(data)) throw new Failure('a data frame was not echoed');
      this.report = { ...this.report, dataFrames: this.report.dataFrames + 1, echoedBytes: this.report.echoedBytes + echo.length };
    }
  }

  /** There is no Refresh in MS-TURN: an Allocate with lifetime 0 frees. */
  async free(): Promise<void> {
    const response = await this.#request(msTypes.allocate, [...this.#login, { type: msAttributes.lifetime, value: uint32(0) }]);
    if (response.type !== msTypes['allocate-response']) throw this.#refused('the last Allocate', response);
  }

  async #request(type: number, attributes: readonly TurnAttribute[]): Promise<TurnMessage> {
    const transaction = newTransaction('ms');
    await this.#write(this.#message(type, attributes, transaction));
    const { body } = await this.#next(controlFrame);
    const message = decodeMessage(body, 'ms');
    if (message === null || !message.transaction.equals(transaction)) throw new Failure('an answer to no question');
    if (this.#key !== null && checkIntegrity(body, 'ms', this.#key) === 'mismatch') throw new Failure('an answer was changed on the way');
    return message;
  }

  #message(type: number, attributes: readonly TurnAttribute[], transaction: Buffer): Buffer {
    return frameBytes(controlFrame, encodeMessage({ dialect: 'ms', type, transaction, attributes, ...(this.#key && { key: this.#key }) }), this.#session);
  }

  #refused(what: string, response: TurnMessage): Failure {
    const error = errorOf(response);
    this.report = { ...this.report, errorCode: error?.code ?? null };
    return new Failure(`${what} refused: ${error === null ? response.name : `${error.code} ${error.reason}`}`);
  }

  async #next(type: number): Promise<Frame> {
    const frame = await this.#frames.frame();
    if (frame === null) throw new Failure('the connection closed');
    if (frame.type !== type) throw new Failure(`frame type ${frame.type} in place of ${type}`);
    if (frame.session?.toString('hex') !== this.#session?.toString('hex')) throw new Failure('a frame of another session');
    return frame;
  }

  #nextSequence(): TurnAttribute {
    this.#sequence += 1;
    return { type: msAttributes['ms-sequence-number'], value: Buffer.concat([Buffer.alloc(20, 0x5a), uint32(this.#sequence)]) };
  }

  /** Looks like RTP (version 2, payload type 0), so that an observer may tell. */
  #payload(index: number): Buffer {
    const payload = Buffer.alloc(this.#options.payloadBytes ?? 172, index);
    payload.set([0x80, 0, 0, index & 0xff]);
    return payload;
  }

  async #write(bytes: Buffer): Promise<void> {
    const step = this.#options.splitBytes ?? bytes.length;
    for (let at = 0; at < bytes.length; at += step) {
      this.#frames.send(bytes.subarray(at, at + step));
      if (step < bytes.length) await turnOfLoop();
    }
  }
}

async function connectTcp(host: string, port: number): Promise<Duplex> {
  const socket = tcpConnect({ host, port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      server: { type: 'string', default: '127.0.0.1:3478' }, user: { type: 'string', default: 'demo' }, password: { type: 'string', default: 'demo' },
      bare: { type: 'boolean', default: false }, sends: { type: 'string', default: '2' }, frames: { type: 'string', default: '3' }, split: { type: 'string' },
    },
  });
  const colon = values.server.lastIndexOf(':');
  const report = await runMsTurnClient({
    host: values.server.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(values.server.slice(colon + 1)), user: values.user, password: values.password,
    pseudoTls: !values.bare, sends: Number(values.sends), dataFrames: Number(values.frames), ...(values.split !== undefined && { splitBytes: Number(values.split) }),
  });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  process.exitCode = report.failure === null ? 0 : 1;
}
