// The Lync client of the lab: libpurple with pidgin-sipe (peers/sipe-client.c), which refuses bad certificates (NSS).

import { join } from 'node:path';
import type { RunResult } from '../../../support/program.ts';
import { compile } from '../build.ts';
import type { Host } from '../host.ts';
import type { LabAddress } from '../names.ts';
import { unchallengedUser } from './kamailio.ts';

export interface SipeOptions {
  readonly server: LabAddress;
  readonly port: number;
  /** Folder of the only roots that it trusts besides the system's. */
  readonly caFolder: string;
  readonly staySeconds: number;
}

let count = 0;

/** Signs on, stays, signs off. Exit code 0 when both worked, 3 when the certificate made it ask a user, 2 on other errors. */
export async function runSipe(host: Host, { server, port, caFolder, staySeconds }: SipeOptions): Promise<RunResult> {
  count += 1;
  const program = await compile('sipe-client', ['purple', 'glib-2.0']);
  const state = join(host.folder, `purple-${count}`);
  return host.run([program, state, caFolder, `${unchallengedUser}@${server.name}`, 'unused', server.name, String(port), String(staySeconds)], { timeoutMs: 45_000 });
}
