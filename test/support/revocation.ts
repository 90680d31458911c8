// CRLs, OCSP answers and a web server for them, for tests of the upstream side: made with the tests' own DER writer, good ones and every kind of
// bad one. Never used outside tests.

import { createHash, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { der } from './certs.ts';
import type { TestCert } from './certs.ts';
import { portOf } from './pair.ts';

const hourMs = 3_600_000;

export interface CrlSpec {
  /** Serials listed, as in `TestCert.serial`. */
  readonly revoked?: readonly Buffer[];
  readonly thisUpdate?: Date;
  /** Null: left out. */
  readonly nextUpdate?: Date | null;
  readonly extensions?: readonly { readonly oid: string; readonly critical?: boolean; readonly value: Buffer }[];
  readonly hash?: 'sha256' | 'sha1';
  /** Signs instead of the CA itself. */
  readonly signer?: TestCert;
}

/** A CRL in the name of a CA. */
export function crlOf(ca: TestCert, spec: CrlSpec = {}): Buffer {
  const signer = spec.signer ?? ca;
  const entries = (spec.revoked ?? []).map((serial) => der.sequence(der.integer(serial), der.time(new Date(Date.now() - hourMs))));
  const nextUpdate = spec.nextUpdate === undefined ? new Date(Date.now() + 24 * hourMs) : spec.nextUpdate;
  const list = der.sequence(
    der.integer(Buffer.from([1])), algorithmOf(signer, spec.hash), ca.subjectDer, der.time(spec.thisUpdate ?? new Date(Date.now() - hourMs)),
    ...(nextUpdate === null ? [] : [der.time(nextUpdate)]),
    ...(entries.length === 0 ? [] : [der.tlv(0x30, Buffer.concat(entries))]),
    ...(spec.extensions === undefined ? [] : [der.tlv(0xa0, der.sequence(...spec.extensions.map(extensionOf)))]),
  );
  return signed(list, signer, spec.hash);
}

/** Value of an issuingDistributionPoint. */
export function distributionPoint(options: { readonly urls?: readonly string[]; readonly only?: 'leaves' | 'authorities'; readonly indirect?: boolean }): Buffer {
  const flag = (tag: number): Buffer => der.tlv(tag, Buffer.from([0xff]));
  return der.sequence(
    ...(options.urls === undefined ? [] : [der.tlv(0xa0, der.tlv(0xa0, ...options.urls.map((url) => der.ia5(0x86, url))))]),
    ...(options.only === 'leaves' ? [flag(0x81)] : []), ...(options.only === 'authorities' ? [flag(0x82)] : []), ...(options.indirect === true ? [flag(0x84)] : []),
  );
}

export interface OcspSpec {
  readonly state?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | null;
  /** Signs instead of the issuer; its certificate is put into the answer. */
  readonly signer?: TestCert;
  readonly badSignature?: boolean;
}

/** A signed OCSP answer about a certificate. */
export function ocspAnswerOf(certificate: TestCert, issuer: TestCert, spec: OcspSpec = {}): Buffer {
  const signer = spec.signer ?? issuer;
  const time = (date: Date): Buffer => der.ia5(0x18, `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`);
  const now = Date.now();
  const status = { good: der.tlv(0x80), revoked: der.tlv(0xa1, time(new Date(now - hourMs))), unknown: der.tlv(0x82) }[spec.state ?? 'good'];
  const nextUpdate = spec.nextUpdate === undefined ? new Date(now + 24 * hourMs) : spec.nextUpdate;
  const sha1 = (bytes: Buffer): Buffer => createHash('sha1').update(bytes).digest();
  const certId = der.sequence(der.sequence(der.oid('1.3.14.3.2.26'), der.tlv(0x05)), der.octets(sha1(issuer.subjectDer)), der.octets(sha1(keyBits(issuer))), der.integer(certificate.serial));
  const single = der.sequence(certId, status, time(spec.thisUpdate ?? new Date(now - hourMs)), ...(nextUpdate === null ? [] : [der.tlv(0xa0, time(nextUpdate))]));
  const data = der.sequence(der.tlv(0xa1, signer.subjectDer), time(new Date(now - hourMs)), der.sequence(single));
  const basic = signed(data, signer, 'sha256', spec.badSignature, spec.signer === undefined ? [] : [der.tlv(0xa0, der.sequence(spec.signer.der))]);
  return der.sequence(der.tlv(0x0a, Buffer.from([0])), der.tlv(0xa0, der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octets(basic))));
}

/** The key's bits: the BIT STRING ends a SubjectPublicKeyInfo. */
function keyBits({ publicKey }: TestCert): Buffer {
  const info = publicKey.export({ format: 'der', type: 'spki' });
  const length = publicKey.asymmetricKeyType === 'ec' ? 65 : 270;
  return info.subarray(info.length - length);
}

function algorithmOf({ privateKey }: TestCert, hash: 'sha256' | 'sha1' = 'sha256'): Buffer {
  if (privateKey.asymmetricKeyType === 'rsa') return der.sequence(der.oid(`1.2.840.113549.1.1.${hash === 'sha256' ? 11 : 5}`), der.tlv(0x05));
  return der.sequence(der.oid(`1.2.840.10045.4.${hash === 'sha256' ? '3.2' : '1'}`));
}

function signed(body: Buffer, signer: TestCert, hash: 'sha256' | 'sha1' = 'sha256', bad = false, more: readonly Buffer[] = []): Buffer {
  const signature = sign(hash, bad ? Buffer.concat([body, body]) : body, signer.privateKey);
  return der.sequence(body, algorithmOf(signer, hash), der.bits(signature), ...more);
}

function extensionOf({ oid, critical = false, value }: NonNullable<CrlSpec['extensions']>[number]): Buffer {
  return der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octets(value));
}

/** What a path answers: a body, a status, or nothing at all. */
export type Served = Buffer | number | 'silence' | (() => Buffer | number | 'silence' | Promise<Buffer>);

export interface FileServer {
  readonly base: string;
  readonly port: number;
  /** Requests so far, `METHOD path`, in order. */
  readonly requests: string[];
  /** Bodies of POST requests. */
  readonly bodies: Buffer[];
  readonly files: Map<string, Served>;
  close(): void;
}

/** A web server on loopback that serves what is in `files`. */
export async function fileServer(): Promise<FileServer> {
  const files = new Map<string, Served>();
  const requests: string[] = [];
  const bodies: Buffer[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
      if (request.method === 'POST') bodies.push(Buffer.concat(chunks));
      const file = files.get(request.url ?? '') ?? 404;
      void Promise.resolve(typeof file === 'function' ? file() : file).then((answer) => {
        if (answer === 'silence') return;
        if (typeof answer === 'number') response.writeHead(answer, { location: '/elsewhere' }).end('no');
        else response.end(answer);
      });
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const port = portOf(server);
  return { base: `http://127.0.0.1:${String(port)}`, port, requests, bodies, files, close: () => { server.close(); server.closeAllConnections(); } };
}
