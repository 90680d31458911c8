// SSLsplit from Debian: proxyspec `ssl`, which relays what is inside without reading it (its `https` ends each connection after one
// request), with its connection log and verification of the server.

import { join } from 'node:path';
import type { Peer } from './peer.ts';

const port = 8444;

export const sslsplit: Peer = {
  name: 'SSLsplit',
  packageName: 'sslsplit',
  about: 'proxyspec ssl (relay, no HTTP), connection log, servers verified, one RSA-2048 leaf key',
  async start({ lab, certificates, issuer, home }) {
    const folder = home('sslsplit');
    const program = await lab.gateway.spawn('sslsplit', [
      'sslsplit', '-k', issuer.keyFile, '-c', issuer.certFile, '-u', 'root', '-l', join(folder, 'connect.log'), '-o', 'VerifyPeer=yes',
      'ssl', '0.0.0.0', String(port),
    ], { listens: [`0.0.0.0:${String(port)}`], env: { SSL_CERT_FILE: certificates.rootFile } });
    return { program, port, caFile: issuer.certFile };
  },
};
