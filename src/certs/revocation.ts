// The revocation endpoints as pure answers to a method and a path (CONTRACT, "Revocation endpoints"): CRLs, OCSP, the CA certificates. Who asked,
// over which connection, and to which address does not matter, and nothing else is ever served.

import { createHash } from 'node:crypto';
import type { Revocation, RevocationAnswer } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import type { Issuer } from './authority.ts';
import type { CrlStore } from './crl-store.ts';
import { mobileConfig } from './mobile-config.ts';
import { pem } from './parts.ts';
import type { OcspAnswer, Responder } from './responder.ts';

/** Paths under which things are served. */
export const paths = {
  crlFolder: '/ssl/crl/',
  crl: (issuer: Issuer): string => `/ssl/crl/${issuer.keyIdHex}.crl`,
  /** The name of the product this one follows, for the default issuer. */
  oldCrl: '/ssl/crl/issuer_CA.crl',
  ocsp: '/ocsp',
  caCertificate: '/ca.crt',
  /** Certificates of issuers other than the default. */
  issuerCertificate: (issuer: Issuer): string => `/ca/${issuer.keyIdHex}.crt`,
} as const;

export interface RevocationOptions {
  /** host[:port] of the distribution points. */
  readonly hosts: readonly string[];
  /** Issuers whose lists and states are served; the first is the default. */
  readonly issuers: readonly Issuer[];
  /** Those of them that clients are to trust: only their certificates are handed out. */
  readonly trusted: readonly Issuer[];
  readonly crls: CrlStore;
  /** Null: OCSP is off. */
  readonly responder: Responder | null;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly clock: () => number;
}

/** An hour: without it Chromium fetches the list anew at every navigation. */
const maxAgeSeconds = 3600;
const plainText = 'text/plain; charset=utf-8';

/** The endpoints of some issuers. */
export function createRevocation(options: RevocationOptions): Revocation {
  const hosts = new Set(options.hosts.flatMap(hostForms));
  const documents = staticDocuments(options.trusted);
  return {
    isHost: (host) => hosts.has(host) || hosts.has(host.toLowerCase()),
    ports: new Set(options.hosts.map(portOf)),
    answer(method, path, body) {
      const [plain = ''] = path.split(/[?#]/, 1);
      if (isOcsp(plain)) return ocsp(method, plain, body, options);
      const found = documents.get(plain) ?? (plain.startsWith(paths.crlFolder) ? crl(plain, options) : null);
      if (found === null) return problem(404, 'Not found.\n');
      if (method !== 'GET' && method !== 'HEAD') return problem(405, 'Only GET and HEAD.\n', { allow: 'GET, HEAD' });
      return method === 'HEAD' ? { ...found, body: Buffer.alloc(0) } : found;
    },
  };
}

/** What a Host header may say for a distribution point: case does not matter, port 80 need not be named. */
function hostForms(host: string): string[] {
  const lower = host.toLowerCase();
  const named = /:\d+$/.test(lower.replace(/^\[.*\]/, ''));
  if (!named) return [lower, `${lower}:80`];
  return lower.endsWith(':80') ? [lower, lower.slice(0, -3)] : [lower];
}

function portOf(host: string): number {
  return Number(/:(\d+)$/.exec(host.replace(/^\[.*\]/, ''))?.[1] ?? 80);
}

function staticDocuments(trusted: readonly Issuer[]): Map<string, RevocationAnswer> {
  const documents = new Map<string, RevocationAnswer>();
  const add = (path: string, type: string, content: Buffer, name?: string): void => {
    documents.set(path, ok(type, content, { 'cache-control': `public, max-age=${maxAgeSeconds}`, ...(name === undefined ? {} : { 'content-disposition': `attachment; filename="${name}"` }) }));
  };
  for (const issuer of trusted) add(paths.issuerCertificate(issuer), 'application/pkix-cert', issuer.certDer);
  const [first] = trusted;
  if (first !== undefined) {
    add(paths.caCertificate, 'application/pkix-cert', first.certDer);
    add('/ca.der', 'application/pkix-cert', first.certDer, 'sallyport-ca.der');
    add('/ca.pem', 'application/x-pem-file', Buffer.from(pem('CERTIFICATE', first.certDer)), 'sallyport-ca.pem');
    add('/ca.mobileconfig', 'application/x-apple-aspen-config', Buffer.from(mobileConfig(first)), 'sallyport-ca.mobileconfig');
  }
  return documents;
}

function crl(path: string, { issuers, crls, meter, clock }: RevocationOptions): RevocationAnswer | null {
  const issuer = path === paths.oldCrl ? issuers[0] : issuers.find((one) => path === paths.crl(one));
  const current = issuer === undefined ? null : crls.current(issuer);
  if (current === null) return null;
  meter.add('crl_requests_total');
  return ok('application/pkix-crl', current.der, freshness(current, clock()));
}

const isOcsp = (path: string): boolean => path === paths.ocsp || path.startsWith(`${paths.ocsp}/`);

function ocsp(method: string, path: string, body: Buffer | null, options: RevocationOptions): RevocationAnswer {
  if (options.responder === null) return problem(404, 'Not found.\n');
  if (method !== 'GET' && method !== 'POST') return problem(405, 'Only GET and POST.\n', { allow: 'GET, POST' });
  const request = method === 'POST' ? body : requestInPath(path.slice(paths.ocsp.length), options.limits.ocspRequestBytesMax);
  const answer = options.responder.answer(request ?? Buffer.alloc(0));
  return ok('application/ocsp-response', answer.der, ocspFreshness(method, answer, options.clock()));
}

/** Errors and answers with a nonce are for one asker only; caches do not keep answers to POST anyway. */
function ocspFreshness(method: string, answer: OcspAnswer, now: number): Record<string, string> {
  return answer.times === null || method === 'POST' ? { 'cache-control': 'no-store' } : freshness(answer.times, now);
}

/** RFC 6960 appendix A.1: base64, then URL-encoded; clients differ in how much they encode, and some double the slash. */
function requestInPath(path: string, bytesMax: number): Buffer | null {
  if (path.length > bytesMax * 4) return null;
  try {
    const text = decodeURIComponent(path.replace(/^\/+/, '')).replaceAll(' ', '+');
    return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null;
  } catch {
    return null;
  }
}

function freshness(times: { readonly thisUpdate: number; readonly nextUpdate: number }, now: number): Record<string, string> {
  const left = Math.max(0, Math.min(maxAgeSeconds, Math.floor((times.nextUpdate - now) / 1000)));
  return {
    'cache-control': `public, max-age=${left}, no-transform`,
    expires: new Date(now + left * 1000).toUTCString(),
    'last-modified': new Date(times.thisUpdate).toUTCString(),
  };
}

function ok(type: string, body: Buffer, headers: Record<string, string>): RevocationAnswer {
  const tag = `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`;
  return { status: 200, headers: { 'content-type': type, 'content-length': String(body.length), etag: tag, ...headers }, body };
}

function problem(status: number, text: string, headers: Record<string, string> = {}): RevocationAnswer {
  return { status, headers: { 'content-type': plainText, 'content-length': String(text.length), 'cache-control': 'no-store', ...headers }, body: Buffer.from(text) };
}
