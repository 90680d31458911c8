import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCertificates } from '../../../src/certs/open.ts';
import { run, runWith } from '../../../src/commands/ca.ts';
import type { CaOptions } from '../../../src/commands/ca.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { noMeter } from '../../../src/core/meters.ts';
import { makeIntermediate, makeRoot } from '../../support/certs.ts';
import { crlOf } from '../../support/revocation.ts';
import { requestFor, stateOf, temporaryFolder } from '../certs/helpers.ts';

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
    const { ca, options, file, stateDir } = await bench();
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
    const ended = crlOf(middle, { nextUpdate: new Date(Date.now() - 1000), extensions: [{ oid: '2.5.29.20', value: Buffer.from('020105', 'hex') }] });
    stateOf(stateDir).prepare('INSERT INTO crl VALUES (?, 5, 0, ?)').run(middle.keyId.toString('hex'), ended);
    expect((await ca('show')).out).toMatch(/last CRL {3}number 5, 0 revoked[^]*WARNING {4}its last CRL has run out/);
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
    // Its first line counts, as in a passphraseFile.
    const passphrase = await file('p', 'secret\r\nfor the key of 2026\n');
    expect((await ca('import', '--cert', cert, '--key', locked, '--passphrase-file', passphrase)).code).toBe(0);
    execFileSync('openssl', ['pkcs12', '-export', '-in', cert, '-inkey', key, '-out', join(stateDir, 'x.p12'), '-passout', 'pass:secret'], { stdio: 'pipe' });
    expect((await ca('import', '--p12', join(stateDir, 'x.p12'), '--passphrase-file', passphrase)).code).toBe(0);
    expect(await ca('import', '--p12', join(stateDir, 'x.p12'))).toMatchObject({ code: 1, error: expect.stringMatching(/password/) as unknown });
  });

  it('puts a further issuer of the config where it is kept', async () => {
    const folder = await temporaryFolder();
    const lab = { cert: join(folder, 'lab.pem'), key: join(folder, 'lab.key') };
    const { ca, file } = await bench({ issuers: { lab } });
    await ca('new', '--ec');
    const root = makeRoot('Lab keyring');
    const [cert, key] = [await file('c.pem', root.certPem), await file('k.pem', root.keyPem)];
    expect(await ca('import', '--cert', cert, '--key', key, '--issuer', 'lab')).toMatchObject({ code: 0, out: expect.stringContaining(lab.cert) as unknown });
    expect((await stat(lab.key)).mode & 0o777).toBe(0o600);
    const shown = await ca('show');
    expect(shown.out).toMatch(/issuer {5}lab\nsubject {4}CN=Lab keyring/);
    expect(shown.out).toMatch(/issuer {5}default\nsubject {4}O=Sallyport/);
    expect(await ca('import', '--cert', cert, '--key', key, '--issuer', 'other')).toMatchObject({ code: 2, error: expect.stringMatching(/no issuer named other; issuers of the config: lab/) as unknown });
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

describe('an issuer whose key is encrypted', () => {
  const root = makeRoot('Locked');
  const locked = String(root.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'open sesame' }));
  const show = async (passphraseFile: string | null, content = 'open sesame\nmore', mode = 0o600) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'ca.pem'), root.certPem);
    await writeFile(join(folder, 'ca.key'), locked, { mode: 0o600 });
    await writeFile(join(folder, 'word'), content, { mode });
    const text = `state: ${folder}\nissuer: { crl: { listen: "127.0.0.1:1" }${passphraseFile === null ? '' : `, passphraseFile: ${passphraseFile}`} }\nservices: [ { name: proxy, type: http-explicit, listen: "127.0.0.1:0" } ]\n`;
    const loaded = loadConfig(text, join(folder, 'config.yaml'));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
    const [printed, complained]: [string[], string[]] = [[], []];
    const code = await run(['show'], { config: loaded.config, print: (line) => printed.push(line), complain: (line) => complained.push(line) });
    return { code, out: printed.join('\n'), error: complained.join('\n') };
  };

  it('is opened with the passphrase file of the config', async () => {
    expect(await show('word')).toMatchObject({ code: 0, error: '', out: expect.stringContaining('CN=Locked') as unknown });
  });

  it.each<[string, Parameters<typeof show>, RegExp]>([
    ['without it', [null], /the key is encrypted/], ['with a wrong one', ['word', 'wrong'], /does not open the key/],
    ['with one that others may read', ['word', 'open sesame', 0o644], /chmod 600/], ['with one that is not there', ['nowhere'], /cannot be read/],
  ])('is refused %s, in one line', async (_label, asked, says) => {
    const { code, error } = await show(...asked);
    expect(code).toBe(1);
    expect(error).toMatch(says);
    expect(error).toMatch(/^sallyport ca: [^\n]+$/);
  });
});

describe('ca revoke', () => {
  it('enters leaves of a running gateway into the ledger', async () => {
    const { ca, options } = await bench();
    const certificates = await openCertificates({ ...options, primary: true, meter: noMeter, log: silentLogger, clock: Date.now });
    try {
      const [one, two] = [await certificates.certFor(requestFor(null, { host: 'a.example' })), await certificates.certFor(requestFor(null, { host: 'b.example' }))];
      // Made just now: the command waits until the record has it.
      expect((await ca('revoke', 'a.example')).out).toContain(`revoked ${one.serial}`);
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
