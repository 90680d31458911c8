// The certificates of the lab's servers and users, made new for each lab: good ones, and one of each kind that clients refuse.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueServer, makeRoot, oids, type CertSpec, type TestCert } from '../../support/certs.ts';
import { address, serverNames, type ServerName } from './names.ts';

/** PEM files of one identity. */
export interface CertFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface LabCertificates {
  /** The root of all good servers; the gateway trusts it, the clients do not. */
  readonly rootFile: string;
  /** A folder that holds only that root, for clients that want one. */
  readonly rootFolder: string;
  /** Names every server of the lab. */
  readonly server: CertFiles;
  /** Names them by a wildcard alone. */
  readonly wildcard: CertFiles;
  readonly expired: CertFiles;
  /** Issued by a root nobody trusts. */
  readonly untrusted: CertFiles;
  /** Good but for another name. */
  readonly wrongName: CertFiles;
  /** The user's own certificate for servers that ask for one, and the root that those servers know. */
  readonly user: CertFiles;
  readonly userRootFile: string;
}

const dayMs = 86_400_000;

/** Makes all of them below `folder`. */
export function makeCertificates(folder: string): LabCertificates {
  const home = join(folder, 'certificates');
  mkdirSync(join(home, 'root'), { recursive: true, mode: 0o755 });
  const root = makeRoot('Sallyport lab root');
  const userRoot = makeRoot('Sallyport lab users');
  const stranger = makeRoot('Sallyport lab stranger');
  const write = (name: string, pem: string): string => {
    const file = join(home, name);
    writeFileSync(file, pem, { mode: 0o644 });
    return file;
  };
  const files = (name: string, cert: TestCert): CertFiles => ({ certFile: write(`${name}.pem`, cert.chainPem), keyFile: write(`${name}.key`, cert.keyPem) });
  const rsa = (spec: CertSpec): CertSpec => ({ key: 'rsa', ...spec });
  const named = (name: ServerName): readonly string[] => [address(name).name];
  return {
    rootFile: write('root/root.pem', root.certPem),
    rootFolder: join(home, 'root'),
    server: files('server', issueServer(root, rsa({ cn: 'lab.test', names: serverNames.map((name) => address(name).name) }))),
    wildcard: files('wildcard', issueServer(root, rsa({ names: ['*.lab.test'] }))),
    expired: files('expired', issueServer(root, rsa({
      names: named('expired'), notBefore: new Date(Date.now() - 40 * dayMs), notAfter: new Date(Date.now() - 10 * dayMs),
    }))),
    untrusted: files('untrusted', issueServer(stranger, rsa({ names: named('untrusted') }))),
    wrongName: files('wrong-name', issueServer(root, rsa({ names: ['elsewhere.example'] }))),
    user: files('user', issueServer(userRoot, rsa({ cn: 'alice', noSan: true, extKeyUsage: [oids.clientAuth] }))),
    userRootFile: write('user-root.pem', userRoot.certPem),
  };
}
