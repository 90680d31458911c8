// The clients that check revocation, each fetching one page of one emulated site its own way. Each tells in its own words what it thought
// of the certificate; whether the request reached the server is for the server to tell.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeResult, type RunResult } from '../../support/program.ts';
import { visitWithChromium, visitWithFirefox } from './browsers.ts';
import type { Gateway } from './gateway.ts';
import type { Host } from './host.ts';

/** What a client is to fetch, and what it may know. */
export interface Errand {
  readonly host: Host;
  readonly gateway: Gateway;
  /** Host name of the site; on port 443. */
  readonly name: string;
  readonly path: string;
  /** PEM of the one root to trust. */
  readonly rootFile: string;
  /** Fetches the lists of all issuers into a PEM file, for clients that fetch none themselves. */
  crlFile(): Promise<string>;
  /** True once the server has been asked for the path. */
  arrived(): boolean;
}

export interface RevocationClient {
  readonly title: string;
  /** What it says of a revoked certificate. */
  readonly revoked: RegExp;
  /** Its own words, and the code of the session where it has none. */
  fetch(errand: Errand): Promise<string>;
}

const request = ({ name, path }: Errand): string => `GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
const url = ({ name, path }: Errand): string => `https://${name}${path}`;
const words = async (result: Promise<RunResult>): Promise<string> => describeResult(await result);

export const curlByStaple: RevocationClient = {
  title: 'curl --cert-status',
  revoked: /revocation reason/,
  fetch: (errand) => words(errand.host.run(['curl', '-sS', '--cert-status', '--cacert', errand.rootFile, '--capath', '/nonexistent', url(errand)])),
};

export const curlByCrl: RevocationClient = {
  title: 'curl --crlfile',
  revoked: /certificate revoked/,
  fetch: async (errand) => words(errand.host.run(['curl', '-sS', '--crlfile', await errand.crlFile(), '--cacert', errand.rootFile, '--capath', '/nonexistent', url(errand)])),
};

export const opensslByDownload: RevocationClient = {
  title: 'openssl -crl_check -crl_download -x509_strict',
  revoked: /certificate revoked/,
  fetch: (errand) => words(errand.host.run([
    'openssl', 's_client', '-connect', `${errand.name}:443`, '-servername', errand.name, '-verify_hostname', errand.name, '-CAfile', errand.rootFile, '-no-CApath',
    '-crl_check', '-crl_download', '-x509_strict', '-verify_return_error', '-ign_eof',
  ], { input: request(errand) })),
};

export const gnutls: RevocationClient = {
  title: 'gnutls-cli --ocsp',
  revoked: /revoked/i,
  fetch: (errand) => words(errand.host.run(['gnutls-cli', '--ocsp', '--x509cafile', errand.rootFile, errand.name], { input: request(errand), holdInput: true })),
};

const pythonProgram = `
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
context.load_verify_locations(sys.argv[2])
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_CHAIN
print(urllib.request.urlopen(sys.argv[3], context=context).read().decode())
`;

export const python: RevocationClient = {
  title: 'Python ssl, VERIFY_X509_STRICT and VERIFY_CRL_CHECK_CHAIN',
  revoked: /certificate revoked/,
  fetch: async (errand) => words(errand.host.run(['python3', '-c', pythonProgram, errand.rootFile, await errand.crlFile(), url(errand)])),
};

/** Java's client is compiled by `compileJava`. */
export const java: RevocationClient = {
  title: 'Java, revocation on, soft failure off',
  revoked: /CertificateRevokedException/,
  fetch: (errand) => words(errand.host.run([
    'java', '-XX:TieredStopAtLevel=1', '-Dcom.sun.security.enableCRLDP=true', '-cp', javaFolder(errand.host), 'AcceptanceClient', errand.rootFile, url(errand),
  ], { timeoutMs: 40_000 })),
};

export const chromium: RevocationClient = {
  title: 'Chromium, RequireOnlineRevocationChecksForLocalAnchors',
  revoked: /ERR_CERT_REVOKED/,
  fetch: (errand) => words(visitWithChromium(errand.host, { url: url(errand), rootFile: errand.rootFile })),
};

/** Its verdict is the request at the server, or the alert that the gateway was sent. */
export const firefox: RevocationClient = {
  title: 'Firefox, its default OCSP',
  revoked: /TLS_ALERT_CERTIFICATE_REVOKED/,
  async fetch(errand) {
    const { gateway } = errand;
    const before = new Set((await gateway.sessions('error=CLIENT_REJECTED_CERT')).map(({ id }) => id));
    const refusals = async (): Promise<string[]> => (await gateway.sessions('error=CLIENT_REJECTED_CERT')).flatMap((session) => (before.has(session.id) ? [] : [session.id]));
    const logged = gateway.program.output().length;
    await visitWithFirefox(errand.host, { url: url(errand), rootFile: errand.rootFile }, async () => errand.arrived() || (await refusals()).length > 0);
    return errand.arrived() ? 'arrived' : `refused\n${gateway.program.output().slice(logged)}`;
  },
};

/** All of them, the quick ones first. */
export const revocationClients: readonly RevocationClient[] = [curlByStaple, curlByCrl, opensslByDownload, gnutls, python, java, chromium, firefox];

/** Compiles Java's client once for a host: starting from source takes seconds each time. */
export async function compileJava(host: Host): Promise<void> {
  await host.mustRun(['javac', '-J-XX:TieredStopAtLevel=1', '-d', javaFolder(host), join(import.meta.dirname, 'acceptance-client.java')], { timeoutMs: 60_000 });
}

/** Fetches each list (DER) the way a client would, and writes all into one PEM file. */
export async function fetchCrls(host: Host, urls: readonly string[], file: string): Promise<string> {
  const lists: string[] = [];
  for (const each of urls) {
    await host.mustRun(['curl', '-sS', '--fail', '-m', '10', '-o', `${file}.der`, each]);
    lists.push(`-----BEGIN X509 CRL-----\n${readFileSync(`${file}.der`).toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END X509 CRL-----\n`);
  }
  writeFileSync(file, lists.join(''));
  return file;
}

function javaFolder(host: Host): string {
  return join(host.folder, 'java');
}
