// Certificates of the demo's internet: a root of its own, servers under it, one client. Made afresh for each run, never stored.

import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import forge from 'node-forge';

export interface Identity {
  readonly cert: string;
  readonly key: string;
}

const keyPair = promisify(generateKeyPair);
const day = 24 * 60 * 60 * 1000;

/** A certification authority for one run. */
export class DemoAuthority {
  readonly root: Identity;

  /** An authority that exists already, for another process of the same run. */
  constructor(root: Identity) {
    this.root = root;
  }

  static async create(): Promise<DemoAuthority> {
    const keys = await rsaKey();
    const name = [{ name: 'commonName', value: 'Sallyport demo internet root' }];
    const extensions = [
      { name: 'basicConstraints', cA: true, critical: true }, { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { name: 'subjectKeyIdentifier' },
    ];
    return new DemoAuthority({ key: keys, cert: signed(keys, keys, name, name, extensions) });
  }

  /** A server certificate for a host name. */
  server(host: string): Promise<Identity> {
    return this.#issue(host, [{ name: 'extKeyUsage', serverAuth: true }, { name: 'subjectAltName', altNames: [{ type: 2, value: host }] }]);
  }

  /** A client certificate for a person. */
  client(person: string): Promise<Identity> {
    return this.#issue(person, [{ name: 'extKeyUsage', clientAuth: true }]);
  }

  async #issue(commonName: string, extensions: object[]): Promise<Identity> {
    const key = await rsaKey();
    const root = forge.pki.certificateFromPem(this.root.cert);
    const all = [
      { name: 'basicConstraints', cA: false, critical: true }, { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'authorityKeyIdentifier', keyIdentifier: root.generateSubjectKeyIdentifier().getBytes() }, ...extensions,
    ];
    return { key, cert: signed(key, this.root.key, [{ name: 'commonName', value: commonName }], root.subject.attributes, all) };
  }
}

/** RSA, because forge's certificates know no other key. */
async function rsaKey(): Promise<string> {
  const { privateKey } = await keyPair('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
}

function signed(key: string, issuerKey: string, subject: forge.pki.CertificateField[], issuer: forge.pki.CertificateField[], extensions: object[]): string {
  const certificate = forge.pki.createCertificate();
  const { n, e } = forge.pki.privateKeyFromPem(key);
  certificate.publicKey = forge.pki.setRsaPublicKey(n, e);
  certificate.serialNumber = `40${randomBytes(15).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - day);
  certificate.validity.notAfter = new Date(Date.now() + 30 * day);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer);
  certificate.setExtensions(extensions);
  certificate.sign(forge.pki.privateKeyFromPem(issuerKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}
