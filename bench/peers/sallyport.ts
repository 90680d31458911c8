// Sallyport as users run it: policy, detection, sessions, metrics, HTTP parsing and access log on, one process.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { labPolicy } from '../../test/lab/support/config.ts';
import type { Peer } from './peer.ts';

const port = 8443;
const adminPort = 9090;
const repository = join(import.meta.dirname, '../..');

/** As `./sallyport` starts it. */
const launcherFlags = ['--max-semi-space-size=4'];

export const sallyport: Peer = {
  name: 'Sallyport',
  packageName: null,
  about: 'workers: 0; policy, protocol detection, sessions, metrics, HTTP parsing and access log on',
  async start({ lab, certificates, home }, { profile }) {
    const folder = home('sallyport');
    const config: ConfigInput = {
      state: join(folder, 'state'),
      workers: 0,
      tunnelOnError: true,
      admin: { listen: `127.0.0.1:${String(adminPort)}` },
      services: [{ name: 'https', type: 'ssl', listen: `[::]:${String(port)}`, acquire: 'redirect', detectProtocol: true }],
      policy: labPolicy,
      upstream: { ca: 'none', extraCa: [certificates.rootFile] },
      logging: { level: 'warn', access: 'access.jsonl' },
    };
    const file = join(folder, 'config.yaml');
    writeFileSync(file, stringify(config));
    const flags = profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const program = await lab.gateway.spawn('sallyport', [process.execPath, ...launcherFlags, ...flags, join(repository, 'src/cli.ts'), 'run', '-c', file], {
      says: /Sallyport is up/, readyMs: 30_000, cwd: repository,
    });
    return { program, port, caFile: join(folder, 'state', 'ca.pem') };
  },
};
