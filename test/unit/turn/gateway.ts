// A small gateway over loopback for the TURN tests: accepts, peeks, detects with the handler's own detector, hands over. The flow's
// order belongs to handoff; here is only what a handler needs to be run on real sockets.

import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import type { Deps, Flow, Protocol, Refusal } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import { Peek } from '../../../src/listener/peek.ts';
import { turnSession } from './support.ts';

export interface TestGateway {
  readonly port: number;
  /** Sessions in order of accept. */
  readonly sessions: readonly Session[];
  /** How each flow ended: 'done', 'refused' or the thrown error. */
  readonly ends: readonly unknown[];
  /** Resolves when as many flows have ended. */
  ended(count: number): Promise<void>;
  close(): Promise<void>;
}

/** `refusal`: every flow is refused with it once it was detected. */
export async function startGateway(protocol: Protocol, name: Session['protocol'], deps: Deps, upstreamPort: number, refusal?: Refusal): Promise<TestGateway> {
  const sessions: Session[] = [];
  const ends: unknown[] = [];
  const open = new Set<Socket>();
  const dialling: Deps = {
    ...deps,
    dial: async () => {
      const socket = connect({ host: '127.0.0.1', port: upstreamPort, allowHalfOpen: true });
      open.add(socket);
      await once(socket, 'connect');
      return socket;
    },
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    open.add(socket);
    const session = turnSession(name);
    sessions.push(session);
    void serve(socket, session).then((end) => ends.push(end), (error: unknown) => ends.push(error));
  });
  const serve = async (socket: Socket, session: Session): Promise<string> => {
    const facts = await detected(socket, protocol, deps);
    const flow: Flow = { session, raw: socket, client: socket, upstream: null, depth: 0, insideTls: false, repliedBytes: 0 };
    if (refusal === undefined) return String(await protocol.handle(flow, dialling, facts));
    await protocol.refuse?.(flow, dialling, refusal);
    return 'refused';
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port, sessions, ends,
    ended: async (count) => {
      while (ends.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function detected(socket: Socket, protocol: Protocol, deps: Deps): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const judge = (): void => {
      const found = protocol.detect(peek.bytes, 'client', deps.limits);
      if (found === 'more') return;
      peek.release();
      if (typeof found === 'object') resolve(found.facts);
      else reject(new Error(`detected: ${found}`));
    };
    const peek = new Peek(socket, judge);
    if (peek.bytes.length > 0) judge();
  });
}
