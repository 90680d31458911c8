// The MS-TURN server of the demo on the lab's `av` address (443 for pseudo-TLS, 3478 for bare framing), libnice as the client that
// Microsoft's clients resemble, and the demo's own client for what libnice does not do.

import { join } from 'node:path';
import type { MsTurnReport } from '../../../../demo/ms-turn-client.ts';
import type { MsTurnServerStats } from '../../../../demo/ms-turn-server.ts';
import type { Program, RunResult } from '../../../support/program.ts';
import { compile } from '../build.ts';
import type { Host } from '../host.ts';
import { address, network } from '../names.ts';

export const turnAccount = { user: 'mras-user', password: 'mras-password', realm: 'rtcmedia' } as const;
const demo = join(import.meta.dirname, '../../../../demo');

export class MsTurnPeer {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** `splitHello`: sends its pseudo-TLS answer in two writes, the first of that many bytes. */
  static async start(host: Host, port: number, splitHello?: number): Promise<MsTurnPeer> {
    const { user, password, realm } = turnAccount;
    const command = [
      process.execPath, join(demo, 'ms-turn-server.ts'), '--listen', `${address('av').v4}:${port}`, '--user', `${user}:${password}`, '--realm', realm,
      ...(splitHello === undefined ? [] : ['--split-hello', String(splitHello)]),
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
  readonly proxy?: { readonly type: 'http' | 'socks5'; readonly host: string; readonly port: number };
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

/** The demo's client: Allocate, Send, Set Active Destination, data frames and the freeing of the allocation. */
export async function runMsTurnClient(host: Host, options: { readonly port: number; readonly bare?: boolean; readonly splitBytes?: number; readonly password?: string }): Promise<MsTurnReport> {
  const { user, password } = turnAccount;
  const { stdout } = await host.run([
    process.execPath, join(demo, 'ms-turn-client.ts'), '--server', `${address('av').v4}:${options.port}`, '--user', user, '--password', options.password ?? password,
    ...(options.bare === true ? ['--bare'] : []), ...(options.splitBytes === undefined ? [] : ['--split', String(options.splitBytes)]),
  ]);
  const report: MsTurnReport = JSON.parse(stdout);
  return report;
}
