// HAProxy from Debian as the limit: it terminates with one static certificate and encrypts anew to one fixed server, so it neither
// mints nor asks where a client was going. One thread, its log on, servers verified.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Origin } from '../origins.ts';
import type { Site } from '../site.ts';
import type { Peer, Setup } from './peer.ts';

export function haproxy(origin: Origin, setup: Setup = {}): Peer {
  return {
    name: setup.tunnels === true ? 'HAProxy' : 'HAProxy (limit)',
    slug: 'haproxy',
    packageName: 'haproxy',
    about: setup.tunnels === true
      ? 'mode tcp, fixed server, one thread, tcplog'
      : `static RSA-2048 certificate, fixed server, one thread, mode http, httplog, servers verified${setup.resumes === true ? ', sessions resumed' : ', no resumption'}${setup.http2 === true ? ', HTTP/2 on both sides' : ''}`,
    async start(site) {
      const port = site.port();
      const file = join(site.home('haproxy'), 'haproxy.cfg');
      writeFileSync(file, configuration(site, port, origin, setup));
      const program = await site.startProxy('haproxy', ['haproxy', '-db', '-f', file], { listens: [`0.0.0.0:${String(port)}`] });
      return { program, port, caFile: setup.tunnels === true ? null : site.issuer.certFile, beside: [] };
    },
  };
}

function configuration({ issuer, origin: { rootFile } }: Site, port: number, origin: Origin, { resumes = false, http2 = false, tunnels = false }: Setup): string {
  const alpn = `alpn ${http2 ? 'h2,http/1.1' : 'http/1.1'}`;
  const client = tunnels ? '' : ` ssl crt ${issuer.staticBundleFile} ${alpn}`;
  const server = tunnels ? '' : ` ssl verify required ca-file ${rootFile} sni str(${origin.name}) ${alpn}${resumes ? '' : ' no-ssl-reuse'}`;
  return `
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
defaults
  mode ${tunnels ? 'tcp' : 'http'}
  log global
  option ${tunnels ? 'tcplog' : 'httplog'}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
${tunnels ? '' : `  timeout http-keep-alive 600s\n  timeout tunnel 600s\n  http-reuse ${http2 ? 'always' : 'never'}\n`}frontend clients
  bind 0.0.0.0:${String(port)}${client}
  default_backend servers
backend servers
  server origin ${origin.v4}:443${server}
`;
}
