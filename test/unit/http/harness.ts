// A gateway of one protocol for tests: accepts on loopback, dials one origin, and runs the exchange on real sockets.

import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { FlowError } from '../../../src/core/errors.ts';
import type { Deps, EndedRequest, Flow, Handled } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import type { HttpFacts, RequestVerdict } from '../../../src/core/verdicts.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { MeterName } from '../../../src/core/meters.ts';

export interface DepsOptions {
  readonly limits?: Partial<Record<LimitName, number>>;
  readonly http?: (facts: HttpFacts) => RequestVerdict;
  readonly revocationHost?: string;
  /** A name that the ssl stage tunnels; every other is intercepted. */
  readonly tunnelled?: string;
  readonly dial?: () => Promise<Socket>;
  readonly count?: (name: MeterName, labels: readonly string[]) => void;
  /** Gets each request that has ended. */
  readonly logged?: (request: EndedRequest) => void;
}

/** Deps with a policy of one function; everything a handler of HTTP must not ask for throws. */
export function depsFor(options: DepsOptions = {}): Deps {
  const never = (): never => {
    throw new Error('not for a handler of HTTP');
  };
  return {
    limits: limitsWith(options.limits),
    log: silentLogger,
    clock: Date.now,
    meter: {
      add: (name, labels = []) => options.count?.(name, labels),
      set: () => {},
      observe: (name, labels) => options.count?.(name, labels),
    },
    policy: {
      connection: never, certificate: never, protocol: never, sip: never, turn: never,
      ssl: (session) => ({
        action: session.sni === options.tunnelled ? 'tunnel' : 'intercept', rule: 'ssl/1', handoff: true, tunnelOnError: new Set(), clientCert: 'tunnel',
        detect: { off: new Set(), on: new Set() }, clientMinVersion: 'TLSv1.2', issuer: null,
      }),
      http: (_session, facts) => options.http?.(facts) ?? never(),
      has: (stage) => stage === 'http' && options.http !== undefined,
    },
    dial: options.dial ?? (() => Promise.reject(new FlowError('DIAL_REFUSED'))),
    certFor: never,
    revocation: {
      isHost: (host) => host === options.revocationHost,
      answer: (method, path, body) => ({ status: 200, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from(`${method} ${path} ${String(body?.length ?? 0)}`) }),
    },
    trust: { minVersion: 'TLSv1.2', roots: [] },
    protocolChanged: never,
    requestLog: { write: (_session, request) => options.logged?.(request) },
    noteRefusal: never,
    noteAccepted: never,
  };
}

export function sessionFor(): Session {
  return {
    id: '1', service: 'https', client: { ip: '127.0.0.1', port: 1 }, destination: { ip: '127.0.0.1', port: 443, host: null }, startedAt: 0, endedAt: null,
    state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'https', chain: [], action: 'handoff', tunnelledOnError: null,
    rule: null, error: null, errorDetail: null, note: null, bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 },
    tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}

export interface Gateway {
  readonly port: number;
  /** What each connection came to, in order of ending. */
  readonly results: (Handled | FlowError)[];
  readonly sessions: Session[];
  readonly flows: Flow[];
  /** Resolves when the n-th connection has ended. */
  ended(count?: number): Promise<Handled | FlowError>;
  close(): void;
}

export interface GatewayOptions extends DepsOptions {
  /** Port of the origin; null leaves dialling to the exchange (`dial`). */
  readonly originPort: number | null;
  readonly insideTls?: boolean;
  readonly sni?: string;
  readonly handle: (flow: Flow, deps: Deps) => Promise<Handled>;
  /** What conduct would do with a failure. */
  readonly onError?: (flow: Flow, deps: Deps, error: FlowError) => Promise<void>;
}

/** Starts a gateway on loopback. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const deps = depsFor(options);
  const results: (Handled | FlowError)[] = [];
  const sessions: Session[] = [];
  const flows: Flow[] = [];
  const waiting: (() => void)[] = [];
  const sockets = new Set<Socket>();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    sockets.add(client);
    client.on('error', () => {});
    void run(client);
  });
  const run = async (client: Socket): Promise<void> => {
    const upstream = options.originPort === null ? null : await connect(options.originPort);
    if (upstream !== null) sockets.add(upstream);
    const session = { ...sessionFor(), sni: options.sni ?? null };
    sessions.push(session);
    const flow: Flow = { session, raw: client, client, upstream, depth: 1, insideTls: options.insideTls ?? true, repliedBytes: client.bytesWritten };
    flows.push(flow);
    const result = await options.handle(flow, deps).catch((caught: unknown) => caught);
    if (result instanceof FlowError) await options.onError?.(flow, deps, result);
    results.push(result as Handled | FlowError);
    for (const wake of waiting.splice(0)) wake();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    results,
    sessions,
    flows,
    ended: async (count = 1) => {
      while (results.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      return results[count - 1] ?? 'done';
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A connected, paused socket that may be half closed. */
export function connect(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    socket.once('connect', () => {
      socket.pause();
      resolve(socket);
    });
    socket.once('error', reject);
    socket.on('error', () => {});
  });
}

/** Listens on loopback; answers the port. */
export function listen(server: net.Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}

/** Everything a socket receives until it closes, or until `enough` says so. */
export function receive(socket: Socket, enough?: (text: string) => boolean): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const settle = (): void => resolve(text);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (enough?.(text) === true) settle();
    });
    socket.on('end', () => {
      socket.end();
      settle();
    });
    socket.on('close', settle);
    socket.resume();
  });
}

/** An origin that notes what it receives and answers with fixed bytes once `when` is true of it. */
export async function startRawOrigin(answer: string, when: (received: string) => boolean): Promise<{ port: number; received(): string; close(): void }> {
  let received = '';
  const sockets = new Set<Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    let own = '';
    let answered = false;
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      own += chunk.toString('latin1');
      received += chunk.toString('latin1');
      if (answered || !when(own)) return;
      answered = true;
      socket.write(Buffer.from(answer, 'latin1'));
    });
  });
  return {
    port: await listen(server),
    received: () => received,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Waits until a condition holds, at most two seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !condition(); round += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  if (!condition()) throw new Error('waited in vain');
}
