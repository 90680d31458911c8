// A TLS server with an emulated certificate, its revocation listener, and real clients against both: shared by the certificate tests.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { startRevocationListener } from '../../src/certs/listener.ts';
import { openCertificates } from '../../src/certs/open.ts';
import type { Certificates } from '../../src/certs/open.ts';
import type { Leaf, LeafKeyType } from '../../src/core/certificates.ts';
import { limitsWith } from '../../src/core/limits.ts';
import { silentLogger } from '../../src/core/log.ts';
import { noMeter } from '../../src/core/meters.ts';
import { issueServer, makeCrl, makeIntermediate, makeRoot } from '../support/certs.ts';
import { createHash } from 'node:crypto';

export type IssuerKind = 'rsa root' | 'ec root' | 'ec intermediate' | 'rsa intermediate';

export interface Site {
  readonly certificates: Certificates;
  readonly leaf: Leaf;
  /** Port of the TLS server, and of the revocation listener. */
  readonly port: number;
  readonly revocationPort: number;
  readonly folder: string;
  /** What clients are given: the root. */
  readonly rootFile: string;
  /** leaf.pem and chain.pem (issuers below the root), in the folder. */
  readonly leafFile: string;
  readonly chainFile: string;
  /** Stops the revocation listener: CRL and OCSP are unreachable. */
  stopRevocation(): Promise<void>;
  /** The listener answers 503 to everything from now on. */
  breakRevocation(): void;
  close(): Promise<void>;
}

/** The emulated site `a.example`, served as the gateway would. */
export async function openSite(kind: IssuerKind, leafKey: LeafKeyType, staple = true): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-site-'));
  let serving: Certificates | null = null;
  const listener = await startRevocationListener({
    host: '127.0.0.1', port: 0, limits: limitsWith(),
    revocation: { isHost: () => false, answer: (method, path, body) => serving?.revocation.answer(method, path, body) ?? { status: 503, headers: {}, body: Buffer.alloc(0) } },
  });
  const above = kind.endsWith('intermediate') ? await placeIntermediate(folder, kind.startsWith('rsa') ? 'rsa' : 'ec') : null;
  const certificates = await openCertificates({
    stateDir: folder, primary: true, limits: limitsWith(), meter: noMeter, log: silentLogger, clock: Date.now,
    issuer: {
      cert: join(folder, 'ca.pem'), key: join(folder, 'ca.key'), leafKey: 'auto', newKey: kind.startsWith('rsa') ? 'rsa' : 'ec',
      crl: { enabled: true, hosts: [`127.0.0.1:${listener.port}`], days: 30 }, ocsp: { enabled: true, staple },
    },
  });
  serving = certificates;
  const upstream = issueServer(makeRoot('Real root'), { names: ['a.example', '*.b.example'], ips: ['127.0.0.1'], organisation: 'Real owner', days: 60 }).der;
  const leaf = await certificates.certFor({
    upstreamDer: upstream, upstreamFingerprint: createHash('sha256').update(upstream).digest('hex'), host: 'a.example', ip: null, key: leafKey, trust: 'trusted', issuer: null,
  });
  const server = tls.createServer({ cert: leaf.certPem, key: leaf.keyPem }, (socket) => socket.on('error', () => undefined).end('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  server.on('OCSPRequest', (_certificate, _issuer, callback) => {
    Promise.resolve(leaf.staple()).then((response) => callback(null, response ?? Buffer.alloc(0)), () => callback(null, Buffer.alloc(0)));
  });
  server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  const [leafPem = '', ...chain] = leaf.certPem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/g) ?? [];
  return {
    certificates, leaf, folder, port: (server.address() as AddressInfo).port, revocationPort: listener.port,
    rootFile: await file('root.pem', above?.rootPem ?? certificates.caPem), leafFile: await file('leaf.pem', leafPem), chainFile: await file('chain.pem', chain.join('')),
    stopRevocation: () => listener.close(),
    breakRevocation: () => void (serving = null),
    async close() {
      server.close();
      await listener.close();
      await certificates.close();
      await above?.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** An intermediate issuer in the state folder, below a root whose CRL is served from a port of its own. */
async function placeIntermediate(folder: string, key: LeafKeyType): Promise<{ readonly rootPem: string; close(): Promise<void> }> {
  const root = makeRoot('Corporate root', { key: 'rsa' });
  const crl = makeCrl(root);
  const server = createServer((_request, response) => response.writeHead(200, { 'content-type': 'application/pkix-crl' }).end(crl)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/root.crl`;
  const issuing = makeIntermediate(root, 'Corporate TLS inspection', { key, crlUrls: [url] });
  await writeFile(join(folder, 'ca.pem'), issuing.certPem + root.certPem);
  await writeFile(join(folder, 'ca.key'), issuing.keyPem, { mode: 0o600 });
  await writeFile(join(folder, 'root.crl'), crl);
  return {
    rootPem: root.certPem,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await Promise.resolve();
    },
  };
}

/** Runs a program to its end; its output and error output as one text. */
export async function run(command: string, args: readonly string[], options: { readonly input?: string; readonly timeoutMs?: number } = {}): Promise<{ readonly code: number | null; readonly text: string }> {
  const child = spawn(command, args, { stdio: 'pipe', timeout: options.timeoutMs ?? 30_000 });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text: Buffer.concat(chunks).toString() };
}
