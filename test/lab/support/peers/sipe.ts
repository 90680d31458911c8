// The Lync client of the lab: libpurple with pidgin-sipe (peers/sipe-client.c), which refuses bad certificates (NSS).

import { join } from 'node:path';
import type { RunResult } from '../../../support/program.ts';
import { compile } from '../build.ts';
import type { Host } from '../host.ts';
import type { LabAddress } from '../names.ts';
import { unchallengedUser } from './kamailio.ts';

export interface SipeOptions {
  /** Absent: it finds its server by Lync Autodiscover. */
  readonly server?: LabAddress;
  readonly port?: number;
  /** `user@domain`; the user that kamailio does not challenge when absent. */
  readonly account?: string;
  /** What it answers challenges with; NTLM when absent. */
  readonly authentication?: 'tls-dsk' | 'ntlm';
  /** The proxy for all it does. */
  readonly proxy?: { readonly type: 'http' | 'socks5'; readonly host: string; readonly port: number };
  /** Folder of the only roots that it trusts besides the system's. */
  readonly caFolder: string;
  readonly staySeconds: number;
}

/** What MRAS handed out, as the client read it: base64, as it goes on to the relay's client. */
export interface MrasCredentials {
  readonly user: string;
  readonly password: string;
  readonly host: string;
  readonly port: number;
}

let count = 0;

/** Signs on, stays, signs off. Exit code 0 when both worked, 3 when the certificate made it ask a user, 2 on other errors. */
export async function runSipe(host: Host, { server, port = 443, account, authentication, proxy, caFolder, staySeconds }: SipeOptions): Promise<RunResult> {
  count += 1;
  const program = await compile('sipe-client', ['purple', 'glib-2.0']);
  const state = join(host.folder, `purple-${count}`);
  const who = account ?? `${unchallengedUser}@${server?.name ?? ''}`;
  return host.run([program, state, caFolder, who, 'unused', server?.name ?? '-', String(port), String(staySeconds)], {
    timeoutMs: 45_000,
    env: {
      ...(authentication === undefined ? {} : { SIPE_AUTHENTICATION: authentication }),
      ...(proxy === undefined ? {} : { SIPE_PROXY: `${proxy.type} ${proxy.host} ${proxy.port}` }),
    },
  });
}

/** Reads the media relay's credentials off what the client says it received; null when there are none. */
export function mrasIn({ stdout }: RunResult): MrasCredentials | null {
  const field = (name: string): string | null => new RegExp(`<${name}>([^<]*)</${name}>`).exec(stdout)?.[1] ?? null;
  const [user, password, host, port] = [field('username'), field('password'), field('hostName'), field('tcpPort')];
  return user === null || password === null || host === null || port === null ? null : { user, password, host, port: Number(port) };
}
