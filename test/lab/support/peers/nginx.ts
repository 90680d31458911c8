// nginx as the web server of the lab: one server block for each address, TLS 1.2, 1.3 or both, bad certificates, client
// certificates asked for, and one large file.

import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import type { CertFiles, LabCertificates } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address, type ServerName } from '../names.ts';

/** What `GET /` answers on every server: the name of the server, so that a test knows whom it reached. */
export const greeting = (server: ServerName): string => `hello from ${server}\n`;

interface Site {
  readonly server: ServerName;
  readonly port?: number;
  readonly certificate: CertFiles | null;
  readonly protocols?: 'TLSv1.2' | 'TLSv1.3';
  readonly clientCertificate?: 'optional';
  readonly http2?: boolean;
}

/** Starts it; `GET /big` on `https` serves the file that `makeBigFile` wrote, when there is one. */
export async function startNginx(host: Host, certificates: LabCertificates): Promise<Program> {
  const { server } = certificates;
  const sites: Site[] = [
    { server: 'https', certificate: server, http2: true },
    { server: 'wide', certificate: certificates.wildcard, http2: true },
    { server: 'plain', port: 80, certificate: null },
    { server: 'tls12', certificate: server, protocols: 'TLSv1.2' },
    { server: 'tls13', certificate: server, protocols: 'TLSv1.3' },
    { server: 'expired', certificate: certificates.expired },
    { server: 'untrusted', certificate: certificates.untrusted },
    { server: 'wrong-name', certificate: certificates.wrongName },
    { server: 'optional-tls12', certificate: server, protocols: 'TLSv1.2', clientCertificate: 'optional' },
    { server: 'optional-tls13', certificate: server, protocols: 'TLSv1.3', clientCertificate: 'optional' },
  ];
  const home = join(host.folder, 'nginx');
  mkdirSync(join(home, 'www'), { recursive: true });
  writeFileSync(join(home, 'nginx.conf'), configuration(home, sites, certificates.userRootFile));
  const sockets = sites.flatMap((site) => sockets4and6(site));
  return host.spawn('nginx', ['nginx', '-p', home, '-c', join(home, 'nginx.conf'), '-e', 'stderr'], { listens: sockets });
}

/** Writes `bytes` of noise that no compression or cache can shorten for `GET /big`; answers its SHA-256 in hex. */
export function makeBigFile(host: Host, bytes: number): string {
  const folder = join(host.folder, 'nginx', 'www');
  mkdirSync(folder, { recursive: true });
  const file = openSync(join(folder, 'big'), 'w');
  const hash = createHash('sha256');
  const chunkBytes = 1024 * 1024;
  for (let written = 0, seed = 0; written < bytes; written += chunkBytes, seed += 1) {
    const chunk = createHash('shake256', { outputLength: Math.min(chunkBytes, bytes - written) }).update(`lab ${seed}`).digest();
    hash.update(chunk);
    writeSync(file, chunk);
  }
  closeSync(file);
  return hash.digest('hex');
}

/** Where `PUT /upload/NAME` leaves its body. */
export function uploadedFile(host: Host, name: string): string {
  return join(host.folder, 'nginx', 'upload', name);
}

function configuration(home: string, sites: readonly Site[], userRootFile: string): string {
  return `
daemon off;
user root;
worker_processes 1;
pid ${home}/nginx.pid;
error_log stderr notice;
events { worker_connections 2048; }
http {
  access_log ${home}/access.log;
  default_type text/plain;
  sendfile on;
  client_max_body_size 0;
  keepalive_timeout 60s;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;
${sites.map((site) => block(home, site, userRootFile)).join('\n')}
}
`;
}

function block(home: string, site: Site, userRootFile: string): string {
  const { certificate, protocols, clientCertificate } = site;
  const words = `${certificate === null ? '' : ' ssl'}${site.http2 === true ? ' http2' : ''}`;
  return `  server {
${sockets4and6(site).map((socket) => `    listen ${socket}${words};`).join('\n')}
${certificate === null ? '' : `    ssl_certificate ${certificate.certFile}; ssl_certificate_key ${certificate.keyFile};`}
    ssl_protocols ${protocols ?? 'TLSv1.2 TLSv1.3'};
${clientCertificate === undefined ? '' : `    ssl_verify_client ${clientCertificate}; ssl_client_certificate ${userRootFile};`}
    location = / { return 200 "${greeting(site.server).trimEnd()}\\n"; }
    location = /from { return 200 "$remote_addr\n"; }
    location = /host { return 200 "$host $server_protocol\\n"; }
    location /files/ { alias ${home}/www/; }
    location = /who { return 200 "client $ssl_client_verify $ssl_client_s_dn\\n"; }
    location /upload/ { root ${home}; dav_methods PUT; create_full_put_path on; }
    location = /big { alias ${home}/www/big; }
  }`;
}

function sockets4and6({ server, port = 443 }: Site): string[] {
  const { v4, v6 } = address(server);
  return [`${v4}:${port}`, `[${v6}]:${port}`];
}
