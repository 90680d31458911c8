import { X509Certificate } from 'node:crypto';
import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCrl, revokedCount } from '../../../src/certs/crl.ts';
import { openLedger } from '../../../src/certs/ledger.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { firstDer, openBench, requestFor, stateOf, temporaryFolder } from './helpers.ts';

const day = 86_400_000;
const server = issueServer(makeRoot('R'), { names: ['a.example'], days: 60 }).der;
const crlOf = (certificates: { revocation: { answer(method: string, path: string, body: null): { body: Buffer } } }): Buffer =>
  certificates.revocation.answer('GET', '/ssl/crl/issuer_CA.crl', null).body;

describe('openCertificates', () => {
  it('gives several processes starting at once one CA, one untrusted issuer and one secret', async () => {
    const stateDir = await temporaryFolder();
    const benches = await Promise.all([true, false, false, false].map((primary) => openBench({ stateDir, primary })));
    expect(new Set(benches.map(({ certificates }) => certificates.issuerPems().join())).size).toBe(1);
    expect(new Set((await Promise.all(benches.map(({ certificates }) => certificates.certFor(requestFor(server))))).map(({ ticketKeys }) => ticketKeys.toString('hex'))).size).toBe(1);
    for (const file of ['ca.key', 'untrusted.key', 'gateway.secret']) expect((await stat(join(stateDir, file))).mode & 0o777).toBe(0o600);
  });

  it('signs what mirrors a bad server by an issuer whose certificate nobody is given', async () => {
    const { certificates } = await openBench();
    const leaf = await certificates.certFor(requestFor(server, { trust: 'untrusted' }));
    const [trusted, untrusted] = certificates.issuerPems().map((text) => new X509Certificate(text));
    const x509 = new X509Certificate(firstDer(leaf.certPem));
    expect(x509.verify((untrusted ?? x509).publicKey)).toBe(true);
    expect(x509.verify((trusted ?? x509).publicKey)).toBe(false);
    expect(x509.infoAccess).not.toContain('CA Issuers');
    expect(certificates.issuerInfo().untrusted.fingerprint).toBe(untrusted?.fingerprint256);
  });

  it('numbers CRLs upwards across restarts, and renews them by the clock', async () => {
    const stateDir = await temporaryFolder();
    const clock = { now: Date.now() };
    const first = await openBench({ stateDir, clock });
    const one = readCrl(crlOf(first.certificates));
    await first.certificates.close();
    const second = await openBench({ stateDir, clock, limits: limitsWith({ stateCheckMs: 50 }) });
    const two = readCrl(crlOf(second.certificates));
    expect(two?.number).toBeGreaterThan(one?.number ?? Infinity);
    clock.now += day;
    await expect.poll(() => readCrl(crlOf(second.certificates))?.number).toBeGreaterThan(two?.number ?? Infinity);
    expect(readCrl(crlOf(second.certificates))?.nextUpdate).toBe(Math.floor((clock.now + 30 * day) / 1000) * 1000);
  });

  it('refuses exposed secrets and hosts with scheme or path', async () => {
    const { stateDir } = await openBench();
    await chmod(join(stateDir, 'gateway.secret'), 0o644);
    await expect(openBench({ stateDir })).rejects.toThrow(/gateway\.secret.*chmod 600/);
    await chmod(join(stateDir, 'gateway.secret'), 0o600);
    await writeFile(join(stateDir, 'gateway.secret'), 'short');
    await expect(openBench({ stateDir })).rejects.toThrow(/gateway\.secret/);
    for (const host of ['http://crl.test', 'crl.test/x', 'crl test', '2001:db8::1', 'crl.test:']) {
      await expect(openBench({ issuer: { crl: { enabled: true, hosts: [host], days: 30 } } })).rejects.toThrow(/host\[:port\]/);
    }
  });

  it('an issuer that may not sign CRLs: OCSP only, and said loudly', async () => {
    const stateDir = await temporaryFolder();
    const root = makeRoot('No CRLs', { keyUsage: ['keyCertSign'] });
    await writeFile(join(stateDir, 'ca.pem'), root.certPem);
    await writeFile(join(stateDir, 'ca.key'), root.keyPem, { mode: 0o600 });
    const { certificates } = await openBench({ stateDir });
    expect(certificates.issuerInfo()).toMatchObject({ crl: null, ocsp: { urls: ['http://crl.test/ocsp'] } });
    expect(certificates.issuerInfo().warnings.join()).toMatch(/cRLSign/);
    expect(certificates.revocation.answer('GET', '/ssl/crl/issuer_CA.crl', null).status).toBe(404);
    const leaf = new X509Certificate(firstDer((await certificates.certFor(requestFor(server))).certPem));
    expect(leaf.toString()).not.toContain('.crl');
  });

  it('an expired issuer opens, says so, and mints nothing', async () => {
    const { certificates, clock } = await openBench();
    clock.now += 20 * 365 * day;
    expect(certificates.issuerInfo().faults.join()).toMatch(/expired/);
    await expect(certificates.certFor(requestFor(server))).rejects.toMatchObject({ code: 'CA_EXPIRED' });
  });

  it('puts each host into the leaf as a distribution point of its own', async () => {
    const { certificates } = await openBench({ issuer: { crl: { enabled: true, hosts: ['one.test', '[2001:db8::1]:9080'], days: 30 } } });
    const { keyId } = certificates.issuerInfo();
    const der = firstDer((await certificates.certFor(requestFor(server))).certPem);
    for (const host of ['one.test', '[2001:db8::1]:9080']) for (const path of [`/ssl/crl/${keyId}.crl`, '/ocsp', '/ca.crt']) expect(der.includes(`http://${host}${path}`)).toBe(true);
  });

  it('staples unless it is switched off', async () => {
    const on = await openBench();
    expect((await (await on.certificates.certFor(requestFor(server))).staple())?.length).toBeGreaterThan(200);
    const off = await openBench({ issuer: { ocsp: { enabled: true, staple: false } } });
    expect((await off.certificates.certFor(requestFor(server))).staple()).toBeNull();
  });

  it('finds what is wrong with its own distribution point', async () => {
    const { certificates } = await openBench({ issuer: { crl: { enabled: true, hosts: ['127.0.0.1:9'], days: 30 } } });
    expect((await certificates.checkDistributionPoints()).map(({ text }) => text).join()).toMatch(/http:\/\/127\.0\.0\.1:9\/.*cannot be fetched/);
  });
});

describe('revocation', () => {
  it('lists the serial, evicts the leaf, mints anew, and ends the old sessions', async () => {
    const { certificates } = await openBench();
    const old = await certificates.certFor(requestFor(server));
    const before = readCrl(crlOf(certificates))?.number ?? Infinity;
    expect(await certificates.revoke({ target: 'a.example', keep: false, reason: 1 })).toEqual([old.serial]);
    expect(readCrl(crlOf(certificates))?.number).toBeGreaterThan(before);
    expect(crlOf(certificates).includes(Buffer.from(old.serial, 'hex'))).toBe(true);
    const fresh = await certificates.certFor(requestFor(server));
    expect(fresh.serial).not.toBe(old.serial);
    expect(fresh.ticketKeys.equals(old.ticketKeys)).toBe(false);
    expect(crlOf(certificates).includes(Buffer.from(fresh.serial, 'hex'))).toBe(false);
    expect(await certificates.revoke({ target: 'b.example', keep: false, reason: 0 })).toEqual([]);
  });

  it('by any host that the leaf serves, whichever it was made for', async () => {
    const { certificates } = await openBench();
    const shared = issueServer(makeRoot('R'), { names: ['a.example', '*.c.example'], days: 60 }).der;
    for (const host of ['b.c.example', 'a.example']) {
      const { serial } = await certificates.certFor(requestFor(shared, { host: 'first.c.example' }));
      expect(await certificates.revoke({ target: host, keep: false, reason: 0 })).toContain(serial);
    }
    expect(await certificates.revoke({ target: 'c.example', keep: false, reason: 0 })).toEqual([]);
  });

  it('goes on serving what is to be kept, with a staple that says revoked', async () => {
    const { certificates } = await openBench();
    const leaf = await certificates.certFor(requestFor(server));
    const good = await leaf.staple();
    await certificates.revoke({ target: leaf.serial, keep: true, reason: 0 });
    expect(await certificates.certFor(requestFor(server))).toBe(leaf);
    expect((await leaf.staple())?.length).toBeGreaterThan(good?.length ?? Infinity);
  });

  it('reaches the other processes, whoever did it', async () => {
    const stateDir = await temporaryFolder();
    const limits = limitsWith({ stateCheckMs: 50 });
    const primary = await openBench({ stateDir, limits });
    const worker = await openBench({ stateDir, limits, primary: false });
    const leaf = await worker.certificates.certFor(requestFor(server));
    await expect.poll(() => primary.certificates.revoke({ target: leaf.serial, keep: false, reason: 0 })).toEqual([leaf.serial]);
    await worker.certificates.reload();
    expect((await worker.certificates.certFor(requestFor(server))).serial).not.toBe(leaf.serial);
    expect(revokedCount(crlOf(worker.certificates))).toBe(1);
    // And without being told, within stateCheckMs.
    const next = await primary.certificates.certFor(requestFor(server));
    await worker.certificates.revoke({ target: next.serial, keep: false, reason: 0 });
    await expect.poll(() => revokedCount(crlOf(primary.certificates))).toBe(2);
    expect((await primary.certificates.certFor(requestFor(server))).serial).not.toBe(next.serial);
  });

  it('that the CRL does not say yet is told, and said as soon as it can be signed', async () => {
    const { certificates, stateDir } = await openBench({ limits: limitsWith({ stateCheckMs: 50 }) });
    const other = stateOf(stateDir);
    const first = await certificates.certFor(requestFor(server));
    expect(await certificates.revoke({ target: first.serial, keep: false, reason: 0 })).toEqual([first.serial]);
    expect(certificates.unsigned()).toEqual([]);
    const second = await certificates.certFor(requestFor(server));
    other.exec("CREATE TRIGGER full BEFORE INSERT ON crl BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    const listed = readCrl(crlOf(certificates))?.number;
    // By this process, and by another of which the watch hears once.
    expect(await certificates.revoke({ target: second.serial, keep: false, reason: 0 })).toEqual([second.serial]);
    openLedger(other, 10).revoke([{ serial: '4a01', issuer: certificates.issuerInfo().keyId.toLowerCase(), at: Date.now(), until: Date.now() + day, reason: 0, keep: false, identity: null }]);
    await certificates.reload();
    expect(certificates.unsigned()).toContain('default');
    expect(certificates.issuerInfo().warnings.join()).toMatch(/could not be signed/);
    expect([readCrl(crlOf(certificates))?.number, revokedCount(crlOf(certificates))]).toEqual([listed, 1]);
    other.exec('DROP TRIGGER full');
    await expect.poll(() => revokedCount(crlOf(certificates))).toBe(3);
    expect(certificates.unsigned()).toEqual([]);
    expect(certificates.issuerInfo().warnings.join()).not.toMatch(/could not be signed/);
  });

  it('survives a restart', async () => {
    const stateDir = await temporaryFolder();
    const first = await openBench({ stateDir });
    const leaf = await first.certificates.certFor(requestFor(server));
    await first.certificates.revoke({ target: leaf.serial, keep: false, reason: 0 });
    await first.certificates.close();
    const second = await openBench({ stateDir });
    expect(revokedCount(crlOf(second.certificates))).toBe(1);
  });

  it('keeps its last state when the database is broken under it', async () => {
    const { certificates, stateDir } = await openBench();
    const leaf = await certificates.certFor(requestFor(server));
    await certificates.revoke({ target: leaf.serial, keep: false, reason: 0 });
    await writeFile(join(stateDir, 'state.db'), 'broken');
    await expect(certificates.reload()).resolves.toBeUndefined();
    expect(revokedCount(crlOf(certificates))).toBe(1);
  });
});
