// baresip, a SIP phone without sound or screen: registers over TLS and says so. It takes any certificate and sends no SNI, so it proves
// nothing about certificates.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunResult } from '../../../support/program.ts';
import type { Host } from '../host.ts';
import type { LabAddress } from '../names.ts';
import { sipAccount } from './kamailio.ts';

let count = 0;

/** Registers, stays for `seconds`, unregisters. Its own resolver reads no hosts file: it is told the address. */
export function runBaresip(host: Host, options: { readonly server: LabAddress; readonly port: number; readonly seconds: number }): Promise<RunResult> {
  const { server, port, seconds } = options;
  count += 1;
  const home = join(host.folder, `baresip-${count}`);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'config'), [
    'poll_method epoll', 'module_path /usr/lib/baresip/modules', 'module g711.so', 'module_app account.so', 'module_app menu.so', '',
  ].join('\n'));
  writeFileSync(join(home, 'accounts'), `<sip:${sipAccount.user}@${server.name};transport=tls>;auth_user=${sipAccount.user};auth_pass=${sipAccount.password};outbound="sip:${server.v4}:${port};transport=tls";regint=600\n`);
  writeFileSync(join(home, 'contacts'), '');
  return host.run(['baresip', '-4', '-f', home, '-t', String(seconds)], { timeoutMs: (seconds + 15) * 1000, cwd: home, env: { HOME: home } });
}
