// mitmproxy from Debian: mitmdump in transparent mode, large bodies streamed, one line for each request.

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Peer } from './peer.ts';

const port = 8446;

export const mitmproxy: Peer = {
  name: 'mitmproxy',
  packageName: 'mitmproxy',
  about: 'mitmdump, transparent mode, bodies over 1 MB streamed, a line for each request, servers verified',
  async start({ lab, certificates, issuer, home }) {
    const folder = home('mitmproxy');
    copyFileSync(issuer.bundleFile, join(folder, 'mitmproxy-ca.pem'));
    const settings = [`confdir=${folder}`, `ssl_verify_upstream_trusted_ca=${certificates.rootFile}`, 'stream_large_bodies=1m', 'flow_detail=1'];
    const program = await lab.gateway.spawn('mitmproxy', [
      'mitmdump', '--mode', 'transparent', '--listen-host', '0.0.0.0', '--listen-port', String(port), ...settings.flatMap((setting) => ['--set', setting]),
    ], { listens: [`0.0.0.0:${String(port)}`], readyMs: 30_000 });
    return { program, port, caFile: issuer.certFile };
  },
};
