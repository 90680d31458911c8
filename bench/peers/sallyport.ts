// Sallyport as users run it: policy, detection, sessions, metrics, HTTP parsing and access log on. Each bench's variant differs in one
// setting from that, which its name tells.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { labPolicy } from '../../test/lab/support/config.ts';
import type { Peer } from './peer.ts';

const repository = join(import.meta.dirname, '../..');

/** As `./sallyport` starts it. */
const launcherFlags = ['--max-semi-space-size=4'];

export interface SallyportSetup {
  /** What comes after `Sallyport` in tables. */
  readonly variant?: string;
  /** Default 0. */
  readonly workers?: number;
  /** `relay`: decrypted bytes are passed on unread; `tunnel`: TLS is not opened. */
  readonly ssl?: 'handoff' | 'relay' | 'tunnel';
  readonly limits?: ConfigInput['limits'];
}

export function sallyport({ variant, workers = 0, ssl = 'handoff', limits }: SallyportSetup = {}): Peer {
  const [rule] = labPolicy.ssl;
  const rules = { handoff: rule, relay: { ...rule, handoff: false }, tunnel: { name: 'all', then: 'tunnel' as const } };
  const doings = { handoff: 'HTTP parsing', relay: 'handoff off (decrypted bytes relayed unread)', tunnel: 'TLS tunnelled by rule' };
  return {
    name: variant === undefined ? 'Sallyport' : `Sallyport, ${variant}`,
    slug: 'sallyport',
    packageName: null,
    about: `workers: ${String(workers)}; policy, protocol detection, sessions, metrics, access log on; ${doings[ssl]}`,
    async start({ startProxy, origin, home, port: newPort }, { profile }) {
      const port = newPort();
      const folder = home('sallyport');
      const config: ConfigInput = {
        state: join(folder, 'state'),
        workers,
        tunnelOnError: true,
        admin: { listen: `127.0.0.1:${String(newPort())}` },
        issuer: { crl: { listen: `127.0.0.1:${String(newPort())}` } },
        services: [{ name: 'https', type: 'ssl', listen: `[::]:${String(port)}`, acquire: 'redirect', detectProtocol: true }],
        policy: { ...labPolicy, ssl: [rules[ssl]] },
        upstream: { ca: 'none', extraCa: [origin.rootFile] },
        logging: { level: 'warn', access: 'access.jsonl' },
        ...(limits === undefined ? {} : { limits }),
      };
      const file = join(folder, 'config.yaml');
      writeFileSync(file, stringify(config));
      const flags = profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
      const program = await startProxy('sallyport', [process.execPath, ...launcherFlags, ...flags, join(repository, 'src/cli.ts'), 'run', '-c', file], {
        says: /Sallyport is up/, readyMs: 30_000, cwd: repository,
      });
      return { program, port, caFile: ssl === 'tunnel' ? null : join(folder, 'state', 'ca.pem'), beside: [] };
    },
  };
}
