// mockttp from npm: passes every request through, one line for each. It is installed on demand into a folder of its own, beside this file's
// repository's dependencies and never among them.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runProgram } from '../../test/support/program.ts';
import type { Peer } from './peer.ts';

const version = '4.6.5';
const folder = join(import.meta.dirname, '../.peers/mockttp');
const manifest = join(folder, 'node_modules/mockttp/package.json');
const installMs = 300_000;

export const mockttp: Peer = {
  name: 'mockttp',
  slug: 'mockttp',
  packageName: null,
  about: 'passes all through, traffic not recorded, a line for each request, servers verified; HTTP/2 where the client offers it; looks hosts up by name',
  version: () => (/"version":\s*"([^"]+)"/.exec(readFileSync(manifest, 'utf8'))?.[1] ?? 'unknown'),
  ready: () => existsSync(manifest),
  async install(say) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    say(`installing mockttp ${version} from npm`);
    const { code, stderr } = await runProgram(
      ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', `mockttp@${version}`],
      { cwd: folder, timeoutMs: installMs, env: npmEnvironment() },
    );
    if (code !== 0) say(`npm could not install mockttp:\n${stderr.slice(-1000)}`);
  },
  async start({ startProxy, issuer, origin, port: newPort }) {
    const port = newPort();
    const script = join(import.meta.dirname, 'mockttp-server.ts');
    const program = await startProxy('mockttp', [process.execPath, script, folder, String(port), issuer.keyFile, issuer.certFile, origin.rootFile], { says: /^mockttp is up/m, readyMs: 60_000 });
    return { program, port, caFile: issuer.certFile, beside: [] };
  },
};

/** A machine may reach its registry through a proxy or settings of its own; npm is asked as the user would ask it. */
function npmEnvironment(): Record<string, string> {
  const own = Object.entries(process.env).flatMap(([name, value]) => (value !== undefined && /^(npm_config_.*|https?_proxy|no_proxy|HOME|NODE_EXTRA_CA_CERTS)$/i.test(name) ? [[name, value] as const] : []));
  return { ...Object.fromEntries(own), PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? '/usr/bin:/bin'}` };
}
