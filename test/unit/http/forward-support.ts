// An explicit proxy for tests, on loopback: real sockets, a policy of functions, names that all lead to 127.0.0.1. What is inside CONNECT
// is echoed by nobody here: the flow that comes back is kept for the test to look at.

import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import type { EntryDeps, Flow } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import type { HttpFacts, RequestVerdict } from '../../../src/core/verdicts.ts';
import { explicitHttp } from '../../../src/http/explicit.ts';
import type { ForwardOptions } from '../../../src/http/forward.ts';
import { connect, depsFor, receive, sessionFor, startRawOrigin } from './harness.ts';
import type { DepsOptions } from './harness.ts';

export interface ProxyOptions extends Partial<ForwardOptions>, Omit<DepsOptions, 'dial' | 'http'> {
  readonly connection?: (session: Session) => 'allow' | 'deny';
  readonly protocol?: 'handoff' | 'relay' | 'deny';
  readonly http?: (facts: HttpFacts) => RequestVerdict;
  /** Replaces the dial to 127.0.0.1 and the destination's port. */
  readonly dial?: (session: Session) => Promise<Socket>;
}

export interface Proxy {
  readonly port: number;
  readonly sessions: Session[];
  /** What each connection came to, in order of ending. */
  readonly results: ('done' | Flow | FlowError)[];
  /** `host:port` of every dial. */
  readonly dials: string[];
  readonly counted: string[];
  ended(count?: number): Promise<'done' | Flow | FlowError>;
  /** Sends text on a new connection and answers all that comes back until `enough`, or the end. */
  ask(text: string, enough?: (received: string) => boolean): Promise<string>;
  close(): void;
}

/** Starts it. */
export async function startProxy(options: ProxyOptions = {}): Promise<Proxy> {
  const dials: string[] = [];
  const counted: string[] = [];
  const sessions: Session[] = [];
  const results: ('done' | Flow | FlowError)[] = [];
  const waiting: (() => void)[] = [];
  const sockets = new Set<Socket>();
  const dial = async (session: Session): Promise<Socket> => {
    const { host, ip, port } = session.destination;
    dials.push(`${host ?? ip ?? ''}:${String(port)}`);
    const socket = options.dial === undefined ? await connect(port).catch((error: unknown) => Promise.reject(new FlowError('DIAL_REFUSED', null, error))) : await options.dial(session);
    sockets.add(socket);
    return socket;
  };
  const switches = { on: new Set<never>(), off: new Set<never>() };
  const base = depsFor({
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.revocationHost === undefined ? {} : { revocationHost: options.revocationHost }),
    ...(options.http === undefined ? {} : { http: options.http }),
    ...(options.logged === undefined ? {} : { logged: options.logged }),
    count: (name, labels) => counted.push([name, ...labels].join(' ')),
  });
  const deps: EntryDeps = {
    ...base,
    policy: {
      ...base.policy,
      connection: (session) => ({
        action: options.connection?.(session) ?? 'allow', rule: 'connection/test', detect: switches, tunnelOnError: new Set(), serverFirst: false,
      }),
      protocol: () => ({ action: options.protocol ?? 'handoff', rule: 'protocol/test' }),
    },
    protocolChanged: () => {},
    dial: ({ session }) => dial(session),
    dialEarly: dial,
    dropEarly: () => {},
  };
  const entry = explicitHttp({ login: options.login ?? null, via: options.via ?? null });
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
    sockets.add(raw);
    raw.on('error', () => {});
    const session: Session = { ...sessionFor(), protocol: 'pending', action: null, destination: { ip: null, port: 0, host: null }, startedAt: Date.now() };
    sessions.push(session);
    const flow: Flow = { session, raw, client: raw, upstream: null, depth: 0, insideTls: false, repliedBytes: 0 };
    void entry.enter(flow, deps).catch((caught: unknown) => (caught instanceof FlowError ? caught : new FlowError('INTERNAL', String(caught), caught))).then((result) => {
      results.push(result);
      for (const wake of waiting.splice(0)) wake();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port, sessions, results, dials, counted,
    ended: async (count = 1) => {
      while (results.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      return results[count - 1] ?? 'done';
    },
    ask: async (text, enough) => {
      const socket = await connect(port);
      socket.write(Buffer.from(text, 'latin1'));
      const received = await receive(socket, enough);
      socket.destroy();
      return received;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** What a test must close; done after each. */
export const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A proxy that is closed after the test. */
export async function proxyWith(options: ProxyOptions = {}): Promise<Proxy> {
  const proxy = await startProxy(options);
  closing.push(() => proxy.close());
  return proxy;
}

/** A server of Node's own, with the number of its connections. */
export async function originWith(listener: RequestListener): Promise<{ port: number; connections: () => number; server: Server }> {
  const server = createServer(listener);
  let connections = 0;
  server.on('connection', () => { connections += 1; });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => { server.close(); server.closeAllConnections(); });
  return { port: (server.address() as AddressInfo).port, connections: () => connections, server };
}

/** A server of fixed bytes. */
export async function rawOrigin(answer: string, when = (text: string): boolean => text.includes('\r\n\r\n')): Promise<{ port: number; received(): string }> {
  const origin = await startRawOrigin(answer, when);
  closing.push(() => origin.close());
  return origin;
}

/** Whether a response has come whose body ends in `done`. */
export const whole = (text: string): boolean => /\r\n\r\n[\s\S]*done/.test(text);
/** All of a body. */
export const bodyOf = async (message: IncomingMessage): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of message) if (Buffer.isBuffer(part)) parts.push(part);
  return Buffer.concat(parts);
};
