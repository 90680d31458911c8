// A MariaDB server of the lab: real protocol, a data folder of its own, no accounts. It speaks first, as every MySQL server does.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunResult } from '../../../support/program.ts';
import type { Host } from '../host.ts';

/** Whom the server listens to: everyone is let in. */
export async function startMariadb(host: Host, address: string, port: number): Promise<void> {
  const home = join(host.folder, 'mariadb');
  const data = join(home, 'data');
  mkdirSync(data, { recursive: true });
  await host.spawn('mariadb', [
    'mariadbd', '--no-defaults', '--user=root', `--datadir=${data}`, '--skip-grant-tables', '--skip-name-resolve', `--bind-address=${address}`, `--port=${port}`,
    `--socket=${join(home, 'socket')}`, `--pid-file=${join(home, 'pid')}`, '--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M', '--innodb-use-native-aio=0',
  ], { says: /ready for connections/, readyMs: 60_000 });
}

/** One statement by the real client; `stdout` is its bare result. */
export function queryMariadb(host: Host, address: string, port: number, statement: string): Promise<RunResult> {
  return host.run(['mariadb', '--no-defaults', '-h', address, '-P', String(port), '-u', 'lab', '--connect-timeout=20', '-N', '-B', '-e', statement], { timeoutMs: 40_000 });
}
