// The servers that all benches talk to: nginx under one address for each purpose, and an echo server for WebSocket. They exist in the
// server host only; their root is new for each run.

import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../test/lab/support/lab.ts';
import { issueServer, makeRoot } from '../test/support/certs.ts';
import type { TestCert } from '../test/support/certs.ts';
import { withManyFiles } from './many-files.ts';

export interface Origin {
  readonly name: string;
  readonly v4: string;
}

/** One address for each way of serving; the redirect and the name tell which is meant. */
export const origins = {
  /** HTTP/1.1, no session cache and no tickets: what is called a full handshake is one on both sides. */
  plain: { name: 'plain.bench.test', v4: '10.77.2.100' },
  /** The same with cache and tickets. */
  resuming: { name: 'resuming.bench.test', v4: '10.77.2.101' },
  /** HTTP/2, no resumption. */
  http2: { name: 'http2.bench.test', v4: '10.77.2.102' },
  /** Any name below it, each with a certificate of its own. */
  cold: { name: 'cold.bench.test', v4: '10.77.2.103' },
  /** WebSocket echo. */
  echo: { name: 'echo.bench.test', v4: '10.77.2.104' },
} as const satisfies Readonly<Record<string, Origin>>;

export const originList: readonly Origin[] = Object.values(origins);

/** What a small page weighs: a response that fits into one TLS record, as most API answers do. */
export const pageBytes = 1024;
const miB = 1024 * 1024;
/** Cold names that hosts files know: what proxies that look names up will ever be asked for. */
const coldNamesKnown = 600;

export interface OriginFiles {
  /** What is downloaded and uploaded. */
  readonly bulkFile: string;
  readonly bulkBytes: number;
  /** The root of all origins; proxies trust it, clients do not. */
  readonly rootFile: string;
  /** Where uploads land. */
  readonly uploadFolder: string;
  /** Makes the certificates of the cold names FROM to TO - 1, where they are not there yet. */
  makeCold(from: number, to: number): void;
}

/** The n-th cold name. */
export function coldName(index: number): string {
  return `n${String(index)}.${origins.cold.name}`;
}

/** Lines for hosts files. */
export function hostNames(): string {
  const cold = Array.from({ length: coldNamesKnown }, (_, index) => `${origins.cold.v4} ${coldName(index)}`);
  return [...originList.map(({ name, v4 }) => `${v4} ${name}`), ...cold, ''].join('\n');
}

/** Starts them; they end with the lab. */
export async function startOrigins({ server, folder }: Lab, bulkMiB: number): Promise<OriginFiles> {
  const home = join(server.folder, 'origin');
  const cold = join(home, 'cold');
  const upload = join(home, 'upload');
  for (const path of [join(home, 'www'), cold, upload]) mkdirSync(path, { recursive: true, mode: 0o755 });
  writeFileSync(join(home, 'www', 'page'), 'x'.repeat(pageBytes));
  const bulkFile = join(home, 'www', 'big');
  writeNoise(bulkFile, bulkMiB * miB);
  const root = makeRoot('Sallyport bench origins');
  const rootFile = join(folder, 'origins-root.pem');
  writeFileSync(rootFile, root.certPem, { mode: 0o644 });
  const identity = issueServer(root, { cn: origins.plain.name, names: originList.map(({ name }) => name), key: 'rsa' });
  writeFileSync(join(home, 'server.pem'), identity.chainPem);
  writeFileSync(join(home, 'server.key'), identity.keyPem);
  writeFileSync(join(home, 'nginx.conf'), configuration(home));
  const listens = originList.filter((one) => one !== origins.echo).map(({ v4 }) => `${v4}:443`);
  await server.spawn('origin', withManyFiles(['nginx', '-p', home, '-c', join(home, 'nginx.conf'), '-e', 'stderr']), { listens });
  const echo = [process.execPath, join(import.meta.dirname, 'echo-origin.ts'), origins.echo.v4, join(home, 'server.pem'), join(home, 'server.key')];
  await server.spawn('echo', withManyFiles(echo), { listens: [`${origins.echo.v4}:443`] });
  return { bulkFile, bulkBytes: bulkMiB * miB, rootFile, uploadFolder: upload, makeCold: (from, to) => makeCold(cold, root, identity, from, to) };
}

/** One key for all: a key of its own for each would only cost time here, and nothing that a proxy sees. */
function makeCold(folder: string, root: TestCert, keyPair: TestCert, from: number, to: number): void {
  for (let index = from; index < to; index += 1) {
    const file = join(folder, `${coldName(index)}.pem`);
    if (!existsSync(file)) writeFileSync(file, issueServer(root, { names: [coldName(index)], keyPair }).chainPem);
  }
}

function configuration(home: string): string {
  const pages = `root ${home}/www;`;
  const certificate = `ssl_certificate ${home}/server.pem; ssl_certificate_key ${home}/server.key;`;
  const never = 'ssl_session_cache off; ssl_session_tickets off;';
  return `
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
pid ${home}/nginx.pid;
error_log stderr error;
events { worker_connections 32768; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  http2_max_concurrent_streams 256;
  client_body_temp_path ${home}/body;
  proxy_temp_path ${home}/proxy;
  fastcgi_temp_path ${home}/fastcgi;
  uwsgi_temp_path ${home}/uwsgi;
  scgi_temp_path ${home}/scgi;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {
    listen ${origins.plain.v4}:443 ssl backlog=4096;
    ${certificate} ${never} ${pages}
    location /upload/ { root ${home}; dav_methods PUT DELETE; }
  }
  server {
    listen ${origins.resuming.v4}:443 ssl backlog=4096;
    ${certificate} ssl_session_cache shared:resuming:10m; ssl_session_tickets on; ${pages}
    add_header X-Resumed $ssl_session_reused;
  }
  server {
    listen ${origins.http2.v4}:443 ssl http2 backlog=4096;
    ${certificate} ${never} ${pages}
  }
  server {
    listen ${origins.cold.v4}:443 ssl backlog=4096;
    ssl_certificate ${home}/cold/$ssl_server_name.pem; ssl_certificate_key ${home}/server.key; ${never} ${pages}
  }
}
`;
}

/** Noise that no compression or cache can shorten. */
function writeNoise(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  for (let written = 0; written < bytes; written += miB) {
    writeSync(file, createHash('shake256', { outputLength: miB }).update(`bench ${String(written)}`).digest());
  }
  closeSync(file);
}
