import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { issueServer, makeRoot } from '../../support/certs.ts';
import { firstDer, openBench, requestFor, temporaryFolder } from './helpers.ts';

const root = makeRoot('R');
const server = issueServer(root, { names: ['a.example', 'b.example'], days: 60 }).der;
const other = issueServer(root, { names: ['a.example'], days: 60 }).der;

describe('certFor', () => {
  it('makes one leaf for all who ask at once and later, whatever host they asked for', async () => {
    const { certificates, counts } = await openBench();
    const leaves = await Promise.all(Array.from({ length: 20 }, (_, at) => certificates.certFor(requestFor(server, { host: at % 2 === 0 ? 'a.example' : 'b.example' }))));
    leaves.push(await certificates.certFor(requestFor(server)));
    expect(new Set(leaves).size).toBe(1);
    expect(counts).toMatchObject({ 'certificates_issued_total{ec}': 1, 'certificate_cache_total{miss}': 1, 'certificate_cache_total{wait}': 19, 'certificate_cache_total{hit}': 1 });
  });

  it('never shares across certificates, key types, trust or hosts without certificate', async () => {
    const { certificates } = await openBench();
    const requests = [
      requestFor(server), requestFor(other), requestFor(server, { key: 'rsa' }), requestFor(server, { trust: 'untrusted' }),
      requestFor(null), requestFor(null, { host: 'b.example' }), requestFor(null, { host: null, ip: '192.0.2.1' }),
    ];
    const leaves = await Promise.all([...requests, ...requests].map((request) => certificates.certFor(request)));
    expect(new Set(leaves).size).toBe(requests.length);
    expect(leaves.slice(requests.length)).toEqual(leaves.slice(0, requests.length));
    const keysOf = (at: number): string | undefined => new X509Certificate(firstDer(leaves[at]?.certPem ?? '')).publicKey.asymmetricKeyType;
    expect([keysOf(0), keysOf(2)]).toEqual(['ec', 'rsa']);
    expect(leaves.map(({ mirrored }) => mirrored).slice(0, requests.length)).toEqual([true, true, true, true, false, false, false]);
  });

  it('serves a leaf with its key, the chain and ticket keys of its own', async () => {
    const { certificates } = await openBench();
    const [one, two] = [await certificates.certFor(requestFor(server)), await certificates.certFor(requestFor(other))];
    const leaf = new X509Certificate(firstDer(one.certPem));
    const { createPrivateKey } = await import('node:crypto');
    expect(leaf.checkPrivateKey(createPrivateKey(one.keyPem))).toBe(true);
    expect(leaf.serialNumber.toLowerCase()).toBe(one.serial);
    expect(one.certPem.endsWith(certificates.caPem)).toBe(true);
    expect(one.ticketKeys).toHaveLength(48);
    expect(one.ticketKeys.equals(two.ticketKeys)).toBe(false);
  });

  it('obeys leafKey', async () => {
    const { certificates } = await openBench({ issuer: { leafKey: 'rsa' } });
    expect(await certificates.certFor(requestFor(server))).toMatchObject({ key: 'rsa' });
    expect(await certificates.certFor(requestFor(server))).toBe(await certificates.certFor(requestFor(server, { key: 'rsa' })));
  });

  it('makes a leaf for each host where the server names too many, also when they ask at once', async () => {
    const { certificates, counts } = await openBench();
    const names = Array.from({ length: 2000 }, (_, at) => `host-${at}.example`);
    const big = issueServer(root, { names }).der;
    const hosts = ['host-1.example', 'host-2.example', 'host-1.example', 'host-3.example'];
    const ask = () => Promise.all(hosts.map((host) => certificates.certFor(requestFor(big, { host }))));
    const [first, second] = [await ask(), await ask()];
    expect(first.map(({ certPem }) => new X509Certificate(firstDer(certPem)).subjectAltName)).toEqual(hosts.map((host) => `DNS:${host}`));
    expect(first[0]).toBe(first[2]);
    expect(second).toEqual(first);
    expect(counts['certificates_issued_total{ec}']).toBe(3);
  });

  it('is bounded: the least recently used goes first', async () => {
    const { certificates, counts } = await openBench({ limits: limitsWith({ identitiesMax: 3 }) });
    const ask = (host: string) => certificates.certFor(requestFor(null, { host }));
    const first = await ask('a');
    for (const host of ['b', 'c', 'a', 'd']) await ask(host);
    expect(await ask('a')).toBe(first);
    await ask('b');
    expect(counts['certificates_issued_total{ec}']).toBe(5);
  });

  it('a large one keeps what is in use, however many others come and go', async () => {
    const { certificates } = await openBench({ limits: limitsWith({ identitiesMax: 32 }) });
    const ask = (host: string) => certificates.certFor(requestFor(null, { host }));
    const [busy, idle] = [await ask('busy'), await ask('idle')];
    for (let at = 0; at < 100; at += 1) {
      await ask(`passing-${at}`);
      expect(await ask('busy')).toBe(busy);
    }
    expect(await ask('idle')).not.toBe(idle);
  });

  it('refuses beyond the queue, and recovers', async () => {
    const { certificates, counts } = await openBench({ limits: limitsWith({ mintQueueMax: 2 }), issuer: { newKey: 'rsa' } });
    const results = await Promise.allSettled(['a', 'b', 'c'].map((host) => certificates.certFor(requestFor(null, { host }))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(results[2]).toMatchObject({ reason: { code: 'MINT_QUEUE_FULL' } });
    expect(counts['limits_hit_total{mintQueueMax}']).toBe(1);
    await expect(certificates.certFor(requestFor(null, { host: 'c' }))).resolves.toMatchObject({ mirrored: false });
  });

  it('makes a new leaf when the old one has aged or ended', async () => {
    const { certificates, clock } = await openBench();
    const short = issueServer(root, { names: ['a.example'], notAfter: new Date(clock.now + 3_600_000) }).der;
    const [first, long] = [await certificates.certFor(requestFor(short)), await certificates.certFor(requestFor(server))];
    clock.now += 3_600_000;
    expect(await certificates.certFor(requestFor(short))).not.toBe(first);
    expect(await certificates.certFor(requestFor(server))).toBe(long);
    clock.now += 86_400_000;
    expect(await certificates.certFor(requestFor(server))).not.toBe(long);
  });

  it('holds a leaf that shows an expired certificate, too', async () => {
    const { certificates } = await openBench();
    const expired = issueServer(root, { names: ['a.example'], notBefore: new Date(Date.now() - 9e9), days: 1 }).der;
    const request = requestFor(expired, { trust: 'untrusted' });
    expect(await certificates.certFor(request)).toBe(await certificates.certFor(request));
  });

  it('remembers no failure', async () => {
    const { certificates } = await openBench();
    const bad = requestFor(Buffer.from('3003020101', 'hex'), { upstreamFingerprint: 'same' });
    await expect(certificates.certFor(bad)).rejects.toMatchObject({ code: 'MINT_FAILED' });
    await expect(certificates.certFor({ ...requestFor(server), upstreamFingerprint: 'same' })).resolves.toMatchObject({ mirrored: true });
    await expect(certificates.certFor(requestFor(server, { issuer: 'nobody' }))).rejects.toMatchObject({ code: 'MINT_FAILED' });
  });
});

describe('processes of one gateway', () => {
  it('agree on ticket keys though their leaves differ', async () => {
    const stateDir = await temporaryFolder();
    const one = await openBench({ stateDir });
    const two = await openBench({ stateDir, primary: false });
    const [a, b] = [await one.certificates.certFor(requestFor(server)), await two.certificates.certFor(requestFor(server))];
    expect(a.serial).not.toBe(b.serial);
    expect(a.ticketKeys.equals(b.ticketKeys)).toBe(true);
    const stranger = await openBench();
    expect((await stranger.certificates.certFor(requestFor(server))).ticketKeys.equals(a.ticketKeys)).toBe(false);
  });

  it('choose the issuer by name', async () => {
    const stateDir = await temporaryFolder();
    const named = makeRoot('Lab issuer');
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(stateDir, 'lab.pem'), named.certPem);
    await writeFile(join(stateDir, 'lab.key'), named.keyPem, { mode: 0o600 });
    const { certificates } = await openBench({ stateDir, issuers: { lab: { cert: join(stateDir, 'lab.pem'), key: join(stateDir, 'lab.key') } } });
    const leaf = await certificates.certFor(requestFor(server, { issuer: 'lab' }));
    expect(new X509Certificate(firstDer(leaf.certPem)).issuer).toBe('CN=Lab issuer');
    expect(leaf).not.toBe(await certificates.certFor(requestFor(server)));
    expect(certificates.issuerPems()).toHaveLength(3);
  });
});
