// What the SIP tests share: messages with a right Content-Length, a session, Deps with real limits and a policy of rules.

import type { Socket } from 'node:net';
import { createConnection, createServer } from 'node:net';
import type { Deps, Flow } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import type { Policy, RequestVerdict, SipFacts } from '../../../src/core/verdicts.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { Limits } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Meter, MeterName } from '../../../src/core/meters.ts';
import { SipFramer } from '../../../src/sip/framer.ts';
import type { SipHead } from '../../../src/sip/headers.ts';

export const limits: Limits = limitsWith();

/** A message from its lines, with its Content-Length last. */
export function message(lines: readonly string[], body = ''): Buffer {
  return Buffer.from([...lines, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'));
}

/** A request with all that a request must carry. */
export function request(method: string, more: readonly string[] = [], body = '', callId = 'call-1'): Buffer {
  return message([
    `${method} sip:bob@contoso.test SIP/2.0`,
    'Via: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKone',
    'From: "Alice" <sip:alice@contoso.test>;tag=a1;epid=0123456789',
    'To: <sip:bob@contoso.test>',
    `Call-ID: ${callId}`,
    `CSeq: 1 ${method}`,
    ...more,
  ], body);
}

export function response(status: number, method: string, more: readonly string[] = [], body = '', callId = 'call-1'): Buffer {
  return message([
    `SIP/2.0 ${status} Whatever`,
    'Via: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKone',
    'From: "Alice" <sip:alice@contoso.test>;tag=a1;epid=0123456789',
    'To: <sip:bob@contoso.test>;tag=b1',
    `Call-ID: ${callId}`,
    `CSeq: 1 ${method}`,
    ...more,
  ], body);
}

export function session(protocol: Session['protocol'] = 'sips'): Session {
  return {
    id: 's1', service: 'https', client: { ip: '127.0.0.1', port: 40_000 }, destination: { ip: '127.0.0.1', port: 5061, host: null },
    startedAt: 0, endedAt: null, state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol, chain: [], action: null,
    tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}

/** A meter that keeps sums by `name{labels}`. */
export class CountingMeter implements Meter {
  readonly sums = new Map<string, number>();

  add(name: MeterName, labels: readonly string[] = [], step = 1): void {
    const key = `${name}{${labels.join(',')}}`;
    this.sums.set(key, (this.sums.get(key) ?? 0) + step);
  }

  set(name: MeterName, labels: readonly string[], value: number): void {
    this.sums.set(`${name}{${labels.join(',')}}`, value);
  }

  observe(): void {}

  of(key: string): number {
    return this.sums.get(key) ?? 0;
  }
}

/** The policy's sip stage: null for no rules at all. */
export type SipRule = ((facts: SipFacts) => RequestVerdict) | null;
export const allow: RequestVerdict = { action: 'allow', rule: 'sip/default', status: null };

export function denyMethod(method: string, status: number | null = null): SipRule {
  return (facts) => (facts.method === method ? { action: 'deny', rule: `sip/no-${method}`, status } : allow);
}

export interface TestDeps {
  readonly deps: Deps;
  readonly meter: CountingMeter;
  /** May be changed while a flow runs, as a reload does. */
  rule: SipRule;
  unknown: 'relay' | 'deny';
  now: number;
}

export function testDeps(rule: SipRule = null, overrides: Partial<Limits> = {}): TestDeps {
  const meter = new CountingMeter();
  const unexpected = (): never => {
    throw new Error('the SIP handler has no business here');
  };
  const policy: Policy = {
    connection: unexpected, ssl: unexpected, certificate: unexpected, http: unexpected, turn: unexpected,
    protocol: () => ({ action: world.unknown, rule: 'protocol/unknown' }),
    sip: (_session, facts) => world.rule?.(facts) ?? allow,
    has: (stage) => stage === 'sip' && world.rule !== null,
  };
  // What the SIP handler reaches of Deps; the rest is not there, so that reaching it fails a test.
  const deps: Pick<Deps, 'limits' | 'policy' | 'meter' | 'log' | 'clock' | 'dial'> = {
    limits: limitsWith(overrides), policy, meter, log: silentLogger, clock: () => world.now, dial: unexpected,
  };
  const world: TestDeps = { deps: deps as Deps, meter, rule, unknown: 'relay', now: 1_000_000 };
  return world;
}

/** A connected pair of loopback sockets, both paused and half-open capable as the gateway's are. */
export async function socketPair(): Promise<{ near: Socket; far: Socket; close(): void }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const near = createConnection({ port: address.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const far = await accepted;
  server.close();
  return { near, far, close: () => { near.destroy(); far.destroy(); } };
}

export function flowOf(client: Socket, upstream: Socket | null, protocol: Session['protocol'] = 'sips'): Flow {
  return { session: session(protocol), raw: client, client, upstream, depth: 1, insideTls: protocol === 'sips', repliedBytes: 0 };
}

/** Collects what a socket receives and waits for it. */
export class Reader {
  #received = Buffer.alloc(0);
  ended = false;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on('close', () => {
      this.ended = true;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => {
      this.ended = true;
    });
    socket.resume();
  }

  get bytes(): Buffer {
    return this.#received;
  }

  get text(): string {
    return this.#received.toString('latin1');
  }

  /** Waits until `test` holds; fails after two seconds. */
  async until(test: (reader: Reader) => boolean): Promise<void> {
    const deadline = Date.now() + 2000;
    while (!test(this)) {
      if (Date.now() > deadline) throw new Error(`waited in vain; received ${JSON.stringify(this.text)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** A framed head of one message, for tests of what reads heads. */
export function headOf(bytes: Buffer): SipHead {
  const framer = new SipFramer(limits);
  framer.feed(bytes);
  if (framer.next() !== 'head') throw new Error(`no head: ${framer.fault?.detail ?? 'not whole'}`);
  return framer.head;
}
