// Where everything is measured: client, gateway and server hosts as network namespaces, nginx as the origin, one redirect of port 443
// that is pointed at one proxy at a time. No packet leaves the namespaces.

import { createHash } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { issueServer, makeRoot } from '../test/support/certs.ts';
import { makeCertificates } from '../test/lab/support/certificates.ts';
import type { CertFiles, LabCertificates } from '../test/lab/support/certificates.ts';
import { makeLab } from '../test/lab/support/lab.ts';
import type { Lab } from '../test/lab/support/lab.ts';
import { address } from '../test/lab/support/names.ts';

/** The one origin that all benches fetch from. */
export const origin = address('https');
export const bulkBytes = 256 * 1024 * 1024;
/** What a small page weighs: a response that fits into one TLS record, as most API answers do. */
const pageBytes = 1024;

/** The issuer that peers get; Sallyport makes its own. */
export interface Issuer {
  readonly certFile: string;
  readonly keyFile: string;
  /** Key and certificate in one file, as some peers want them. */
  readonly bundleFile: string;
  /** A certificate of the origin's name below this issuer, for a proxy that makes none itself. */
  readonly static: CertFiles & { readonly bundleFile: string };
}

export interface Site {
  readonly lab: Lab;
  readonly certificates: LabCertificates;
  readonly issuer: Issuer;
  /** A new folder for one instance of a proxy, readable by whatever user it becomes. */
  home(label: string): string;
  /** Sends the client's connections to port 443 to a port of the gateway host from now on. */
  redirectTo(port: number): Promise<void>;
}

let homes = 0;

/** Makes the hosts and starts the origin. The caller closes `lab`. */
export async function makeSite(): Promise<Site> {
  const lab = await makeLab();
  try {
    // Squid becomes a user of its own, who must get to its files.
    chmodSync(lab.folder, 0o711);
    const certificates = makeCertificates(lab.folder);
    await startOrigin(lab, certificates);
    await lab.gateway.mustRun(['nft', '-f', '-'], { input: 'table ip bench {\n chain prerouting {\n type nat hook prerouting priority dstnat\n }\n}\n' });
    return {
      lab, certificates,
      issuer: makeIssuer(lab.folder),
      home(label) {
        homes += 1;
        const folder = join(lab.gateway.folder, `${label}-${String(homes)}`);
        mkdirSync(folder, { mode: 0o755 });
        return folder;
      },
      redirectTo: (port) => redirectTo(lab, port),
    };
  } catch (caught) {
    await lab.close();
    throw caught;
  }
}

async function redirectTo({ gateway }: Lab, port: number): Promise<void> {
  const rule = `add rule ip bench prerouting iifname "lan" tcp dport 443 redirect to :${String(port)}`;
  await gateway.mustRun(['nft', '-f', '-'], { input: `flush chain ip bench prerouting\n${rule}\n` });
}

function makeIssuer(folder: string): Issuer {
  const home = join(folder, 'issuer');
  mkdirSync(home, { mode: 0o755 });
  const write = (name: string, text: string): string => {
    const file = join(home, name);
    writeFileSync(file, text, { mode: 0o644 });
    return file;
  };
  const root = makeRoot('Sallyport bench issuer', { key: 'rsa' });
  const page = issueServer(root, { cn: origin.name, names: [origin.name], key: 'rsa' });
  return {
    certFile: write('ca.pem', root.certPem), keyFile: write('ca.key', root.keyPem), bundleFile: write('ca-bundle.pem', root.keyPem + root.certPem),
    static: { certFile: write('page.pem', page.certPem), keyFile: write('page.key', page.keyPem), bundleFile: write('page-bundle.pem', page.certPem + page.keyPem) },
  };
}

async function startOrigin({ server }: Lab, { server: identity }: LabCertificates): Promise<void> {
  const home = join(server.folder, 'origin');
  mkdirSync(join(home, 'www'), { recursive: true, mode: 0o755 });
  writeFileSync(join(home, 'www', 'page'), 'x'.repeat(pageBytes));
  writeNoise(join(home, 'www', 'big'), bulkBytes);
  writeFileSync(join(home, 'nginx.conf'), originConfiguration(home, identity));
  await server.spawn('origin', ['nginx', '-p', home, '-c', join(home, 'nginx.conf'), '-e', 'stderr'], { listens: [`${origin.v4}:443`] });
}

/** Without session tickets and caches: what is called a full handshake is one on both sides of every proxy. */
function originConfiguration(home: string, { certFile, keyFile }: CertFiles): string {
  return `
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${home}/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;
  server {
    listen ${origin.v4}:443 ssl backlog=4096;
    ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off; ssl_session_tickets off;
    root ${home}/www;
  }
}
`;
}

/** Noise that no compression or cache can shorten. */
function writeNoise(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  const chunkBytes = 1024 * 1024;
  for (let written = 0; written < bytes; written += chunkBytes) {
    writeSync(file, createHash('shake256', { outputLength: chunkBytes }).update(`bench ${String(written)}`).digest());
  }
  closeSync(file);
}
