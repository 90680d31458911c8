import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCertificates } from '../../../src/certs/open.ts';
import { runWith } from '../../../src/commands/ca.ts';
import type { CaOptions } from '../../../src/commands/ca.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { noMeter } from '../../../src/core/meters.ts';
import { makeIntermediate, makeRoot } from '../../support/certs.ts';
import { requestFor, temporaryFolder } from '../certs/helpers.ts';

async function bench(more: Partial<CaOptions> = {}) {
  const stateDir = await temporaryFolder();
  const options: CaOptions = {
    stateDir, limits: limitsWith(), ...more,
    issuer: { cert: join(stateDir, 'ca.pem'), key: join(stateDir, 'ca.key'), leafKey: 'auto', crl: { enabled: true, hosts: ['crl.test'], days: 30 }, ocsp: { enabled: true, staple: true } },
  };
  const ca = async (...args: string[]) => {
    const [printed, complained, written]: [string[], string[], Uint8Array[]] = [[], [], []];
    const code = await runWith(args, options, { print: (line) => printed.push(line), complain: (line) => complained.push(line), write: (bytes) => written.push(bytes) });
    return { code, out: printed.join('\n'), error: complained.join('\n'), bytes: Buffer.concat(written) };
  };
  const file = async (name: string, content: string | Buffer): Promise<string> => {
    await writeFile(join(stateDir, name), content);
    return join(stateDir, name);
  };
  return { ca, file, options, stateDir };
}

describe('ca show', () => {
  it('says that there is none yet, and what to do; it makes nothing', async () => {
    const { ca, stateDir } = await bench();
    expect(await ca('show')).toMatchObject({ code: 1, out: '', error: expect.stringMatching(/^sallyport ca: there is no CA yet; .*ca new/) as unknown });
    expect(await readdir(stateDir)).toEqual([]);
  });

  it('shows what clients must trust, where data is, and what is wrong', async () => {
    const { ca, options, file } = await bench();
    await ca('new', '--ec');
    const shown = await ca('show');
    expect(shown.code).toBe(0);
    for (const part of [/subject {4}O=Sallyport, CN=Sallyport CA/, /SHA-256 {4}([0-9A-F]{2}:){31}/, /CRL {8}http:\/\/crl\.test\/ssl\/crl\/[0-9a-f]{40}\.crl/, /OCSP {7}http:\/\/crl\.test\/ocsp/, /last CRL {3}none yet/, /install this certificate/, /Nothing is wrong/]) expect(shown.out).toMatch(part);
    const middle = makeIntermediate(makeRoot('Corporate root'), 'I', { keyUsage: ['keyCertSign'] });
    await ca('import', '--cert', await file('c', middle.certPem), '--key', await file('k', middle.keyPem));
    const warned = await ca('show');
    expect(warned.out).toMatch(/WARNING {4}its key usage lacks cRLSign/);
    expect(warned.out).toMatch(/clients must trust the root above it: CN=Corporate root/);
    expect(warned.out).not.toMatch(/CRL {8}http/);
    await chmod(options.issuer.key, 0o644);
    expect(await ca('show')).toMatchObject({ code: 1, error: expect.stringMatching(/chmod 600/) as unknown });
  });
});

describe('ca new and export', () => {
  it('makes RSA or EC, confined when asked, and never over an existing one', async () => {
    const { ca, options, stateDir } = await bench();
    expect((await ca('new', '--permit', 'lab.example', '--permit', '10.0.0.0/8')).code).toBe(0);
    const first = new X509Certificate((await ca('export')).out);
    expect(first.publicKey.asymmetricKeyType).toBe('rsa');
    expect(new X509Certificate((await ca('export', '--der')).bytes).fingerprint256).toBe(first.fingerprint256);
    expect(await ca('new')).toMatchObject({ code: 1, error: expect.stringMatching(/there is a CA already; --replace/) as unknown });
    expect((await ca('new', '--replace', '--ec')).code).toBe(0);
    expect(new X509Certificate((await ca('export')).out).publicKey.asymmetricKeyType).toBe('ec');
    expect((await readdir(stateDir)).filter((name) => name.endsWith('.old'))).toHaveLength(2);
    expect((await stat(options.issuer.key)).mode & 0o777).toBe(0o600);
    expect(await ca('new', '--replace', '--permit', '10.0.0.0/40')).toMatchObject({ code: 1 });
  });
});

describe('ca import', () => {
  it('takes PEM, encrypted PEM and PKCS#12', async () => {
    const { ca, file, stateDir } = await bench();
    const root = makeRoot('Corporate', { key: 'rsa' });
    const [cert, key] = [await file('c.pem', root.certPem), await file('k.pem', root.keyPem)];
    expect(await ca('import', '--cert', cert, '--key', key)).toMatchObject({ code: 0, error: '' });
    expect(new X509Certificate((await ca('export')).out).subject).toBe('CN=Corporate');
    const locked = await file('l.pem', String(root.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'secret' })));
    expect(await ca('import', '--cert', cert, '--key', locked)).toMatchObject({ code: 1, error: expect.stringMatching(/encrypted/) as unknown });
    const passphrase = await file('p', 'secret\n');
    expect((await ca('import', '--cert', cert, '--key', locked, '--passphrase-file', passphrase)).code).toBe(0);
    execFileSync('openssl', ['pkcs12', '-export', '-in', cert, '-inkey', key, '-out', join(stateDir, 'x.p12'), '-passout', 'pass:secret'], { stdio: 'pipe' });
    expect((await ca('import', '--p12', join(stateDir, 'x.p12'), '--passphrase-file', passphrase)).code).toBe(0);
    expect(await ca('import', '--p12', join(stateDir, 'x.p12'))).toMatchObject({ code: 1, error: expect.stringMatching(/password/) as unknown });
  });

  it('refuses what cannot be an issuer, missing files and half an order, in one line each', async () => {
    const { ca, file } = await bench();
    const root = makeRoot('R');
    const [cert, key] = [await file('c.pem', makeRoot('Other').certPem), await file('k.pem', root.keyPem)];
    const refusals = [
      [1, await ca('import', '--cert', cert, '--key', key)], [1, await ca('import', '--cert', key, '--key', key)], [1, await ca('import', '--cert', '/none', '--key', key)],
      [2, await ca('import', '--cert', cert)], [2, await ca('import')], [2, await ca('import', '--bogus')],
    ] as const;
    for (const [code, result] of refusals) {
      expect(result).toMatchObject({ code, out: '' });
      expect(result.error).toMatch(/^sallyport ca: [^\n]+$/);
    }
    expect((await ca('show')).error).toMatch(/there is no CA yet/);
  });
});

describe('ca revoke', () => {
  it('enters leaves of a running gateway into the ledger', async () => {
    const { ca, options } = await bench();
    const certificates = await openCertificates({ ...options, primary: true, meter: noMeter, log: silentLogger, clock: Date.now });
    try {
      const [one, two] = [await certificates.certFor(requestFor(null, { host: 'a.example' })), await certificates.certFor(requestFor(null, { host: 'b.example' }))];
      await expect.poll(async () => (await ca('revoke', 'a.example')).out).toContain(`revoked ${one.serial}`);
      expect((await ca('revoke', two.serial, '--keep', '--reason', 'keyCompromise')).code).toBe(0);
      await certificates.reload();
      expect(await certificates.certFor(requestFor(null, { host: 'a.example' }))).not.toBe(one);
      expect(await certificates.certFor(requestFor(null, { host: 'b.example' }))).toBe(two);
      expect((await ca('show')).out).toMatch(/last CRL {3}number \d+, 2 revoked/);
    } finally {
      await certificates.close();
    }
  });

  it('says what it does not know', async () => {
    const { ca } = await bench();
    await ca('new', '--ec');
    expect(await ca('revoke', 'nobody.example')).toMatchObject({ code: 1, error: expect.stringMatching(/nobody\.example: no emulated certificate/) as unknown });
    expect(await ca('revoke')).toMatchObject({ code: 2 });
    expect(await ca('revoke', 'a', 'b')).toMatchObject({ code: 2 });
    expect(await ca('revoke', 'a', '--reason', 'boredom')).toMatchObject({ code: 2, error: expect.stringMatching(/keyCompromise/) as unknown });
  });
});

it('explains itself', async () => {
  const { ca } = await bench();
  expect(await ca('--help')).toMatchObject({ code: 0, out: expect.stringMatching(/^Usage: sallyport ca/) as unknown });
  for (const args of [[], ['bogus']]) expect(await ca(...args)).toMatchObject({ code: 2, out: '', error: expect.stringMatching(/^Usage/) as unknown });
});
