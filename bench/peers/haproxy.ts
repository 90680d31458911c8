// HAProxy from Debian as the limit: it terminates with one static certificate and encrypts anew to one fixed server, so it neither
// mints nor asks where a client was going. One thread, HTTP mode, its log on, no resumption and no sharing of server connections.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { origin } from '../site.ts';
import type { Peer } from './peer.ts';

const port = 8447;

export const haproxy: Peer = {
  name: 'HAProxy (limit)',
  packageName: 'haproxy',
  about: 'static RSA-2048 certificate, fixed server, one thread, mode http, httplog, servers verified',
  async start({ lab, certificates, issuer, home }) {
    const folder = home('haproxy');
    const file = join(folder, 'haproxy.cfg');
    writeFileSync(file, `
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse never
frontend clients
  bind 0.0.0.0:${String(port)} ssl crt ${issuer.static.bundleFile} alpn http/1.1
  default_backend servers
backend servers
  server origin ${origin.v4}:443 ssl verify required ca-file ${certificates.rootFile} sni str(${origin.name}) alpn http/1.1 no-ssl-reuse
`);
    const program = await lab.gateway.spawn('haproxy', ['haproxy', '-db', '-f', file], { listens: [`0.0.0.0:${String(port)}`] });
    return { program, port, caFile: issuer.certFile };
  },
};
