// The demo's clients: real exchanges over a connection that somebody else makes (direct, redirected, or through a proxy). They trust
// only the CA they are given, so a wrong emulated certificate fails them.

import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { Identity } from './identities.ts';
import { runMsTurnClient } from './ms-turn-client.ts';
import { peerNames, turnUser } from './peers.ts';
import type { Endpoint, PeerEndpoints } from './peers.ts';
import { runSipClient } from './sip-client.ts';

export interface ClientOptions {
  readonly at: PeerEndpoints;
  /** A connection to a server. */
  dial(to: Endpoint): Promise<Duplex>;
  /** What clients trust: the gateway's CA. */
  readonly gatewayCa: string;
  /** What the client with a certificate of its own trusts: the servers' root, since its flow is not opened. */
  readonly internetCa: string;
  readonly clientIdentity: Identity;
}

export interface Exchange {
  readonly name: string;
  /** Null when it went well. */
  readonly failure: string | null;
  readonly said: string;
}

const waitMs = 10_000;

/** Runs each exchange once, one after the other. Never rejects: faults are in the reports. */
export async function runClients(options: ClientOptions): Promise<Exchange[]> {
  const { gatewayCa: ca, at, dial } = options;
  return [
    await exchange('HTTPS', () => speakTls(options, at.https, peerNames.https, ca, 'GET /demo HTTP/1.1\r\nHost: www.demo.test\r\nConnection: close\r\n\r\n', 'hello from /demo')),
    await exchange('SIP over TLS', async () => {
      const report = await runSipClient({ ...at.sips, ca, servername: peerNames.sips, connect: () => dial(at.sips) });
      if (report.failure !== null) throw new Error(report.failure);
      return 'registered, called, hung up';
    }),
    await exchange('MS-TURN', async () => {
      const report = await runMsTurnClient({ ...at.msTurn, ...turnUser, connect: () => dial(at.msTurn) });
      if (report.failure !== null) throw new Error(report.failure);
      return `relay ${report.relayed ?? 'none'}, ${String(report.echoedBytes)} bytes echoed`;
    }),
    await exchange('unknown in TLS', () => speakTls(options, at.unknown, peerNames.unknown, ca, '\u0001\u0002game move e2e4\n', 'game move e2e4')),
    await exchange('client certificate', () => speakTls(options, at.clientCert, peerNames.clientCert, options.internetCa, null, 'welcome', options.clientIdentity)),
  ];
}

async function exchange(name: string, run: () => Promise<string>): Promise<Exchange> {
  try {
    return { name, failure: null, said: await run() };
  } catch (caught) {
    return { name, failure: caught instanceof Error ? caught.message : String(caught), said: '' };
  }
}

/** One TLS connection: says something (or listens) until the answer holds `expected`. */
async function speakTls(options: ClientOptions, to: Endpoint, servername: string, ca: string, say: string | null, expected: string, identity?: Identity): Promise<string> {
  const raw = await options.dial(to);
  return await new Promise((resolve, reject) => {
    const socket = connect({ socket: raw, servername, ca, ...(identity ?? {}) }, () => {
      if (say !== null) socket.write(say);
    });
    const timer = setTimeout(() => done(new Error('no answer in time')), waitMs);
    let heard = '';
    const done = (error: Error | null): void => {
      clearTimeout(timer);
      socket.destroy();
      if (error === null) resolve(expected);
      else reject(error);
    };
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      if (heard.includes(expected)) done(null);
    });
    socket.on('error', (error) => done(error));
    socket.on('close', () => done(new Error(`closed after ${JSON.stringify(heard.slice(0, 60))}`)));
  });
}

/** How each exchange went, a line each. */
export function exchangeLines(exchanges: readonly Exchange[]): string[] {
  return exchanges.map(({ name, failure, said }) => `  ${failure === null ? 'ok  ' : 'FAIL'}  ${name.padEnd(20)} ${failure ?? said}`);
}

/** Whether a value is the reports of runClients, for those that read them from another process. */
export function isExchanges(value: unknown): value is Exchange[] {
  return Array.isArray(value) && value.every((entry: unknown) => typeof entry === 'object' && entry !== null && 'name' in entry && 'failure' in entry);
}
