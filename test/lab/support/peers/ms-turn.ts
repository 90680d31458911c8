// The MS-TURN server of the demo on the lab's `av` address (443 for pseudo-TLS, 3478 for bare framing), libnice as the client that
// Microsoft's clients resemble, and the demo's own client for what libnice does not do.

import { join } from 'node:path';
import type { MsTurnClientOptions, MsTurnReport } from '../../../../demo/ms-turn-client.ts';
import type { MsTurnServerStats } from '../../../../demo/ms-turn-server.ts';
import type { Program, RunResult } from '../../../support/program.ts';
import type { Proxy, SsltcpReport, TurnPeerPlan } from '../../peers/turn-client.ts';
import { compile } from '../build.ts';
import type { Host } from '../host.ts';
import { address, network } from '../names.ts';

export const turnAccount = { user: 'mras-user', password: 'mras-password', realm: 'rtcmedia' } as const;
const demo = join(import.meta.dirname, '../../../../demo');
const peers = join(import.meta.dirname, '../../peers');

export class MsTurnPeer {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** `splitHello`: sends its pseudo-TLS answer in two writes, the first of that many bytes. `anyHello`: looks at no hello. */
  static async start(host: Host, port: number, { splitHello, anyHello = false }: { readonly splitHello?: number; readonly anyHello?: boolean } = {}): Promise<MsTurnPeer> {
    const { user, password, realm } = turnAccount;
    const command = [
      process.execPath, join(demo, 'ms-turn-server.ts'), '--listen', `${address('av').v4}:${port}`, '--user', `${user}:${password}`, '--realm', realm,
      ...(splitHello === undefined ? [] : ['--split-hello', String(splitHello)]), ...(anyHello ? ['--any-hello'] : []),
    ];
    return new MsTurnPeer(await host.spawn(`ms-turn-${port}`, command, { says: /listening on port/, readyMs: 20_000 }));
  }

  /** Ends it and answers what it counted. */
  async stop(): Promise<MsTurnServerStats> {
    await this.#program.stop();
    const line = this.#program.output().split('\n').findLast((text) => text.startsWith('{'));
    const stats: MsTurnServerStats = JSON.parse(line ?? '{}');
    return stats;
  }
}

export interface NiceOptions {
  readonly kind: 'tls' | 'tcp';
  readonly port: number;
  readonly holdSeconds?: number;
  /** Base64 as MRAS hands them out; the server's account when absent. */
  readonly credentials?: { readonly user: string; readonly password: string };
  readonly proxy?: Proxy;
}

/** libnice in OC2007R2 mode gathers relayed candidates; code 0 when it got some. Keeps them for `holdSeconds`. */
export async function runNice(host: Host, { kind, port, holdSeconds = 0, credentials, proxy }: NiceOptions): Promise<RunResult> {
  const program = await compile('nice-client', ['nice']);
  const { user, password } = credentials ?? turnAccount;
  const command = [program, address('av').v4, String(port), user, password, kind, '10', String(holdSeconds)];
  return host.run(command, {
    timeoutMs: 40_000,
    env: {
      // One local address: else libnice asks for a relay from each address of the host.
      NICE_LOCAL_ADDRESS: network.clients[0],
      ...(credentials === undefined ? {} : { NICE_MRAS: '1' }),
      ...(proxy === undefined ? {} : { NICE_PROXY: `${proxy.type} ${proxy.host} ${proxy.port}` }),
    },
  });
}

export type MsTurnRun = Omit<MsTurnClientOptions, 'host' | 'user' | 'password' | 'connect' | 'hello'> & {
  readonly password?: string;
  /** Hex of the hello to begin with. */
  readonly helloHex?: string;
  readonly proxy?: Proxy;
};

/** The demo's client: Allocate, Send, Set Active Destination, data frames and the freeing of the allocation. */
export function runMsTurnClient(host: Host, options: MsTurnRun): Promise<MsTurnReport> {
  const { user, password } = turnAccount;
  return runTurnPeer(host, { kind: 'ms', host: address('av').v4, user, password, ...options });
}

/** A client that begins with libjingle's hello, then sends a STUN request and data frames to a server that returns them. */
export function runSsltcpClient(host: Host, options: { readonly port: number; readonly frames: number; readonly splitBytes?: number; readonly proxy?: Proxy }): Promise<SsltcpReport> {
  return runTurnPeer(host, { kind: 'ssltcp', host: address('openssl').v4, ...options });
}

async function runTurnPeer<Report>(host: Host, plan: TurnPeerPlan): Promise<Report> {
  const stdout = await host.mustRun([process.execPath, join(peers, 'turn-client.ts'), JSON.stringify(plan)]);
  const report: Report = JSON.parse(stdout);
  return report;
}

export class SsltcpServer {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(host: Host, ports: readonly number[]): Promise<SsltcpServer> {
    const command = [process.execPath, join(peers, 'ssltcp-server.ts'), address('openssl').v4, ...ports.map(String)];
    return new SsltcpServer(await host.spawn('ssltcp', command, { says: /^ready$/m, readyMs: 20_000 }));
  }

  /** Hashes of the connections that have ended; waits until there are `count`. */
  async hashes(count: number): Promise<{ readonly received: string; readonly sent: string }[]> {
    const lines = (): string[] => this.#program.output().split('\n').filter((line) => line.startsWith('{'));
    await this.#program.waitUntil(() => lines().length >= count, `tell of ${count} connections`);
    return lines().map((line): { received: string; sent: string } => JSON.parse(line));
  }
}
