// mitmproxy from Debian: mitmdump in transparent mode, large bodies streamed, one line for each request.

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Peer, Setup } from './peer.ts';

export function mitmproxy({ tunnels = false }: Setup = {}): Peer {
  return {
    name: 'mitmproxy',
    slug: 'mitmproxy',
    packageName: 'mitmproxy',
    about: `mitmdump, transparent mode, ${tunnels ? 'ignore_hosts for all' : 'bodies over 1 MB streamed, a line for each request, servers verified'}`,
    async start({ startProxy, issuer, origin, home, port: newPort }) {
      const port = newPort();
      const folder = home('mitmproxy');
      copyFileSync(issuer.bundleFile, join(folder, 'mitmproxy-ca.pem'));
      const settings = [`confdir=${folder}`, `ssl_verify_upstream_trusted_ca=${origin.rootFile}`, 'stream_large_bodies=1m', 'flow_detail=1'];
      const program = await startProxy('mitmproxy', [
        'mitmdump', '--mode', 'transparent', '--listen-host', '0.0.0.0', '--listen-port', String(port), ...settings.flatMap((setting) => ['--set', setting]),
        ...(tunnels ? ['--ignore-hosts', '.*'] : []),
      ], { listens: [`0.0.0.0:${String(port)}`], readyMs: 30_000 });
      return { program, port, caFile: tunnels ? null : issuer.certFile, beside: [] };
    },
  };
}
