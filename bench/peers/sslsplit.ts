// SSLsplit from Debian: proxyspec `ssl`, which relays what is inside without reading it (its `https` ends each connection after one
// request), with its connection log and verification of the server; or `tcp`, which passes bytes on unopened.

import { join } from 'node:path';
import type { Peer, Setup } from './peer.ts';

export function sslsplit({ tunnels = false }: Setup = {}): Peer {
  return {
    name: 'SSLsplit',
    slug: 'sslsplit',
    packageName: 'sslsplit',
    about: tunnels ? 'proxyspec tcp, connection log' : 'proxyspec ssl (relay, no HTTP), connection log, servers verified, one RSA-2048 leaf key',
    async start({ startProxy, issuer, origin, home, port: newPort }) {
      const port = newPort();
      const folder = home('sslsplit');
      const program = await startProxy('sslsplit', [
        'sslsplit', '-k', issuer.keyFile, '-c', issuer.certFile, '-u', 'root', '-l', join(folder, 'connect.log'), '-o', 'VerifyPeer=yes',
        tunnels ? 'tcp' : 'ssl', '0.0.0.0', String(port),
      ], { listens: [`0.0.0.0:${String(port)}`], env: { SSL_CERT_FILE: origin.rootFile } });
      return { program, port, caFile: tunnels ? null : issuer.certFile, beside: [] };
    },
  };
}
