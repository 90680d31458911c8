// A small Skype for Business deployment (peers/lync-server.ts) on the lab's `lync` addresses.

import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import type { SipRecord } from '../../peers/lync-sip.ts';
import type { LyncPlan } from '../../peers/lync-server.ts';
import type { CertFiles } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';
import { turnAccount } from './ms-turn.ts';

/** A user of the SIP domain whose discovery name the lab knows. */
export const lyncUser = 'alice@lab.test';

export interface WebRequestRecord {
  readonly kind: 'web';
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

export class LyncServer {
  readonly #program: Program;
  #read = 0;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Autodiscovery sends clients to `internal` first, then to `external`; SIP listens on `listens`. */
  static async start(host: Host, { certFile, keyFile }: CertFiles, ports: { readonly internal: number; readonly external: number; readonly listens: readonly number[] }): Promise<LyncServer> {
    const [sip, web, discover, av] = [address('lync'), address('lync-web'), address('lyncdiscoverinternal'), address('av')];
    const plan: LyncPlan = {
      discover: discover.v4, web: web.v4, sip: sip.v4, webHost: web.name, sipHost: sip.name, sipListens: ports.listens, sipPorts: ports, certFile, keyFile,
      relay: { host: av.name, port: 443, user: turnAccount.user, password: turnAccount.password },
    };
    return new LyncServer(await host.spawn('lync', [process.execPath, join(import.meta.dirname, '../../peers/lync-server.ts'), JSON.stringify(plan)], { says: /^ready$/m, readyMs: 20_000 }));
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** What it saw since the last call, once `connections` SIP connections have ended. */
  async records(connections: number): Promise<{ readonly web: readonly WebRequestRecord[]; readonly sip: readonly SipRecord[] }> {
    const fresh = (): (WebRequestRecord | SipRecord)[] => this.#program.output().split('\n').filter((line) => line.startsWith('{')).slice(this.#read).map((line): WebRequestRecord | SipRecord => JSON.parse(line));
    const sip = (): SipRecord[] => fresh().filter((line) => line.kind === 'sip');
    await this.#program.waitUntil(() => sip().length >= connections, `tell of ${connections} SIP connections`);
    const seen = { web: fresh().filter((line) => line.kind === 'web'), sip: sip() };
    this.#read += seen.web.length + seen.sip.length;
    return seen;
  }
}
