import { X509Certificate, createPrivateKey, verify } from 'node:crypto';
import { chmod, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { installAuthority, openAuthority, retireAuthority } from '../../../src/certs/authority.ts';
import type { AuthorityOptions } from '../../../src/certs/authority.ts';
import { IssuerError } from '../../../src/certs/issuer-error.ts';
import { issueServer, makeIntermediate, makeRoot } from '../../support/certs.ts';
import { makeIssuer, temporaryFolder } from './helpers.ts';

async function place(more: Partial<AuthorityOptions> = {}): Promise<AuthorityOptions> {
  const folder = await temporaryFolder();
  return {
    name: 'default', certFile: join(folder, 'certs', 'ca.pem'), keyFile: join(folder, 'keys', 'ca.key'), passphrase: null, now: Date.now(),
    create: { key: 'ec', label: 'Test CA', permitted: [] }, ...more,
  };
}

describe('a CA made on first run', () => {
  it('is RSA 2048 with SHA-256, confined, back-dated, and private on disk', async () => {
    const options = await place({ create: { key: 'rsa', label: 'Test CA', permitted: [] } });
    const issuer = await openAuthority(options);
    const { certificate } = issuer;
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(certificate.signatureAlgorithm).toBe('sha256WithRSAEncryption');
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toMatch(/^O=Sallyport\nCN=Test CA [0-9a-f]{8}$/);
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(issuer.notBefore).toBeLessThan(Date.now() - 6 * 86_400_000);
    expect(issuer.notAfter).toBeGreaterThan(Date.now() + 5 * 365 * 86_400_000);
    expect(issuer).toMatchObject({ keyType: 'rsa', signsCrls: true, isRoot: true, warnings: [] });
    expect((await stat(options.keyFile)).mode & 0o777).toBe(0o600);
    expect((await stat(join(options.keyFile, '..'))).mode & 0o777).toBe(0o700);
  });

  it('is one and the same for processes that start at once, and after a restart', async () => {
    const options = await place();
    const opened = await Promise.all(Array.from({ length: 6 }, () => openAuthority(options)));
    opened.push(await openAuthority({ ...options, create: null }));
    expect(new Set(opened.map(({ certificate }) => certificate.fingerprint256)).size).toBe(1);
    expect(await readdir(join(options.keyFile, '..'))).toEqual(['ca.key']);
  });

  it('carries on when the process died between key and certificate', async () => {
    const options = await place();
    const first = await openAuthority(options);
    await rm(options.certFile);
    expect((await openAuthority(options)).certificate.fingerprint256).toBe(first.certificate.fingerprint256);
  });

  it('differs from installation to installation, name and all', async () => {
    const [one, two] = [await makeIssuer(), await makeIssuer()];
    expect(one.subject.equals(two.subject)).toBe(false);
  });

  it('refuses bad name constraints with the entry at fault', async () => {
    await expect(openAuthority(await place({ create: { key: 'ec', label: 'x', permitted: ['10.0.0.0/99'] } }))).rejects.toThrow('10.0.0.0/99');
  });
});

describe('opening', () => {
  it('refuses a key that others can read, and names the remedy', async () => {
    const options = await place();
    await openAuthority(options);
    for (const mode of [0o640, 0o604, 0o620]) {
      await chmod(options.keyFile, mode);
      await expect(openAuthority(options)).rejects.toThrow(/chmod 600/);
    }
  });

  it.each([['rsa', true], ['rsa3072', false], ['ec', true]] as const)('an issuer of %s signs quickly: %s', async (key, signsQuickly) => {
    const options = await place();
    const root = makeRoot('Of its kind', { key });
    await installAuthority(options, { keyPem: root.keyPem, passphrase: null, chain: [root.der] }, Date.now());
    expect(await openAuthority(options)).toMatchObject({ signsQuickly });
  });

  it('refuses a missing half instead of making another CA', async () => {
    const options = await place();
    await openAuthority(options);
    await rm(options.keyFile);
    await expect(openAuthority(options)).rejects.toThrow(/the key of .* is missing/);
    await rm(options.certFile);
    await expect(openAuthority({ ...options, create: null })).rejects.toThrow(/no such key file/);
    const root = makeRoot('R');
    await writeFile(options.keyFile, root.keyPem, { mode: 0o600 });
    await expect(openAuthority(options)).rejects.toThrow(/no such certificate file/);
  });

  it('tells a wrong pair, an encrypted key and garbage apart', async () => {
    const options = await place();
    await openAuthority(options);
    const other = makeRoot('R');
    await writeFile(options.certFile, other.certPem);
    await expect(openAuthority(options)).rejects.toThrow(/is not the key of/);
    await writeFile(options.certFile, 'nothing');
    await expect(openAuthority(options)).rejects.toThrow(/no certificate in PEM/);
    await writeFile(options.certFile, other.certPem);
    await writeFile(options.keyFile, other.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'secret' }));
    await expect(openAuthority(options)).rejects.toThrow(/encrypted; give its passphrase/);
    await expect(openAuthority({ ...options, passphrase: 'wrong' })).rejects.toThrow(/does not open/);
    expect((await openAuthority({ ...options, passphrase: 'secret' })).keyType).toBe('ec');
    await writeFile(options.keyFile, 'garbage');
    await expect(openAuthority(options)).rejects.toThrow(IssuerError);
  });

  it('opens an expired CA with a warning: the gateway must be able to say so', async () => {
    const options = await place();
    await openAuthority(options);
    const late = await openAuthority({ ...options, now: Date.now() + 20 * 365 * 86_400_000 });
    expect(late.warnings[0]).toMatch(/expired/);
  });
});

describe('signing', () => {
  it.each(['rsa', 'ec'] as const)('signs with the %s key, now and later', async (key) => {
    const issuer = await makeIssuer(key);
    const data = Buffer.from('to be signed');
    for (const signature of [issuer.sign(data), await issuer.signLater(data)]) expect(verify('sha256', data, issuer.certificate.publicKey, signature)).toBe(true);
  });

  it('hands out nothing of the key', async () => {
    const issuer = await makeIssuer();
    for (const value of Object.values(issuer)) expect(typeof value === 'object' && value !== null && 'asymmetricKeyType' in value).toBe(false);
    expect(JSON.stringify(issuer)).not.toContain('PRIVATE');
  });

  it('makes serials that only its key\'s holders recognise', async () => {
    const options = await place();
    const [one, again, other] = [await openAuthority(options), await openAuthority(options), await makeIssuer()];
    const serials = Array.from({ length: 200 }, () => one.newSerial());
    expect(new Set(serials.map((serial) => serial.toString('hex'))).size).toBe(200);
    for (const serial of serials) {
      expect(serial).toHaveLength(16);
      expect(serial[0]).toBeGreaterThanOrEqual(0x40);
      expect(serial[0]).toBeLessThanOrEqual(0x7f);
      expect(again.isOwnSerial(serial)).toBe(true);
      expect(other.isOwnSerial(serial)).toBe(false);
    }
    expect(one.isOwnSerial(Buffer.alloc(5))).toBe(false);
  });
});

describe('an issuer from outside', () => {
  it('is put in place unencrypted and private, the old one kept aside', async () => {
    const options = await place();
    const old = await openAuthority(options);
    const root = makeRoot('Corporate root');
    const key = root.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'secret' });
    expect(await installAuthority(options, { keyPem: key, passphrase: 'secret', chain: [root.der] }, Date.now())).toEqual([]);
    expect((await openAuthority({ ...options, create: null })).certificate.raw).toEqual(root.der);
    expect((await stat(options.keyFile)).mode & 0o777).toBe(0o600);
    expect(createPrivateKey(await readFile(options.keyFile)).asymmetricKeyType).toBe('ec');
    const [kept = ''] = (await readdir(join(options.certFile, '..'))).filter((name) => name.endsWith('.old'));
    expect(new X509Certificate(await readFile(join(options.certFile, '..', kept))).fingerprint256).toBe(old.certificate.fingerprint256);
  });

  it('changes nothing when a check fails', async () => {
    const options = await place();
    const old = await openAuthority(options);
    const root = makeRoot('R');
    const material = { keyPem: root.keyPem, passphrase: null, chain: [makeRoot('Other').der] };
    await expect(installAuthority(options, material, Date.now())).rejects.toThrow(/the key is not that of the certificate/);
    await expect(installAuthority(options, { keyPem: root.keyPem, passphrase: null, chain: [issueServer(root, { names: ['a.example'] }).der] }, Date.now())).rejects.toThrow(/not a CA certificate/);
    const expired = makeRoot('Old', { notBefore: new Date(Date.now() - 9e10), days: 1 });
    await expect(installAuthority(options, { keyPem: expired.keyPem, passphrase: null, chain: [expired.der] }, Date.now())).rejects.toThrow(/expired/);
    expect((await openAuthority(options)).certificate.fingerprint256).toBe(old.certificate.fingerprint256);
  });

  it('sends an intermediate\'s chain without the root, and a root as itself', async () => {
    const root = makeRoot('R');
    const middle = makeIntermediate(root, 'M', { pathLength: 1 });
    const issuing = makeIntermediate(middle, 'I', { crlUrls: ['http://crl.test/m.crl'] });
    const options = await place();
    await installAuthority(options, { keyPem: issuing.keyPem, passphrase: null, chain: [issuing.der, middle.der, root.der] }, Date.now());
    const issuer = await openAuthority(options);
    expect(issuer.chainPem).toBe(issuing.certPem + middle.certPem);
    expect(issuer).toMatchObject({ isRoot: false, warnings: [] });
    expect(issuer.keyId).toEqual(issuing.keyId);
  });

  it('can be retired', async () => {
    const options = await place();
    expect(await retireAuthority(options, Date.now())).toBe(false);
    await openAuthority(options);
    expect(await retireAuthority(options, Date.now())).toBe(true);
    await expect(openAuthority({ ...options, create: null })).rejects.toThrow(/no such key file/);
  });
});
