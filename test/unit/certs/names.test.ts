import { describe, expect, it } from 'vitest';
import { hostForName, hostNamesIn, leafNames } from '../../../src/certs/names.ts';
import type { LeafNames } from '../../../src/certs/names.ts';
import { name, readCertificate } from '../../../src/certs/parts.ts';
import type { LeafRequest } from '../../../src/core/certificates.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { der, issueServer, makeRoot, nameDer } from '../../support/certs.ts';
import type { CertSpec } from '../../support/certs.ts';
import { requestFor } from './helpers.ts';

const root = makeRoot('R');
const limits = limitsWith();

function namesOf(spec: CertSpec | null, more: Partial<LeafRequest> = {}): LeafNames {
  const cert = spec === null ? null : issueServer(root, spec);
  return leafNames(requestFor(cert?.der ?? null, more), cert === null ? null : readCertificate(cert.der), limits);
}
const dns = (...names: string[]): Buffer => der.sequence(...names.map((one) => der.ia5(0x82, one)));
const mintFailed = expect.objectContaining({ code: 'MINT_FAILED' }) as unknown;
function failure(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

describe('with a server\'s certificate', () => {
  it('subject and names are its bytes, whatever kinds they are', () => {
    const subjectDer = der.sequence(der.set(der.sequence(der.oid('2.5.4.3'), der.tlv(0x13, Buffer.from('a.example')))), der.set(der.sequence(der.oid('2.5.4.10'), der.tlv(0x1e, Buffer.from('00d6', 'hex')))));
    const sanDer = der.sequence(der.ia5(0x82, 'A.Example'), der.tlv(0x87, Buffer.from('7f000001', 'hex')), der.ia5(0x81, 'x@y'), der.ia5(0x86, 'sip:x'));
    expect(namesOf({ subjectDer, sanDer }, { host: 'other.example' })).toEqual({ subject: subjectDer, alternatives: sanDer, forHostOnly: false });
  });

  it('the name asked for is never added', () => {
    expect(namesOf({ names: ['a.example'] }, { host: 'b.example' }).alternatives).toEqual(dns('a.example'));
  });

  it.each<[string, CertSpec]>([
    ['is empty', { cn: null, names: ['a.example'] }],
    ['has a common name over 64 characters', { cn: 'x'.repeat(65), names: ['a.example'] }],
    ['is absurdly long', { subjectDer: nameDer('a', 'x'.repeat(5000)), names: ['a.example'] }],
  ])('the subject becomes empty when it %s', (_label, spec) => {
    expect(namesOf(spec).subject).toBeNull();
  });

  it('counts characters, not octets', () => {
    expect(namesOf({ cn: 'ü'.repeat(64), names: ['a.example'] }).subject).not.toBeNull();
    expect(namesOf({ cn: 'ü'.repeat(65), names: ['a.example'] }).subject).toBeNull();
  });

  it('too many names: only the one asked for, and only if the server has it', () => {
    const many = { names: ['*.a.example', ...Array.from({ length: 2000 }, (_, at) => `host-${at}.example`)] };
    expect(namesOf(many, { host: 'X.A.example.' })).toMatchObject({ alternatives: dns('x.a.example'), forHostOnly: true });
    expect(failure(() => namesOf(many, { host: 'b.example' }))).toEqual(mintFailed);
    expect(failure(() => namesOf(many, { host: null }))).toEqual(mintFailed);
    expect(namesOf({ ...many, ips: ['192.0.2.1'] }, { host: '192.0.2.1' }).alternatives).toEqual(der.sequence(der.tlv(0x87, Buffer.from('c0000201', 'hex'))));
  });

  it('a common name alone becomes a name under the trusted issuer, and stays a defect under the untrusted one', () => {
    expect(namesOf({ cn: 'A.example', names: [] }).alternatives).toEqual(dns('a.example'));
    expect(namesOf({ cn: '*.a.example', names: [] }).alternatives).toEqual(dns('*.a.example'));
    expect(namesOf({ cn: '192.0.2.1', names: [] }).alternatives).toEqual(der.sequence(der.tlv(0x87, Buffer.from('c0000201', 'hex'))));
    expect(namesOf({ cn: 'a.example', names: [] }, { trust: 'untrusted' })).toMatchObject({ alternatives: null, forHostOnly: false });
    for (const cn of ['Some Appliance', 'a..b', '']) expect(failure(() => namesOf({ cn, names: [] }))).toEqual(mintFailed);
  });

  it('refuses what clients could read in two ways', () => {
    for (const sanDer of [dns('a.example\0.evil'), dns('a b'), dns(''), der.sequence(der.tlv(0x87, Buffer.alloc(5))), der.sequence(der.utf8('x')), der.sequence(der.tlv(0x89, Buffer.alloc(1))), Buffer.from('300382', 'hex'), Buffer.from('050100', 'hex')]) {
      expect(failure(() => namesOf({ cn: 'x', sanDer })), sanDer.toString('hex')).toEqual(mintFailed);
    }
    expect(failure(() => namesOf({ subjectDer: Buffer.from('3003020101', 'hex'), names: ['a.example'] }))).toEqual(mintFailed);
  });

  it('shows a NUL in a name under the untrusted issuer', () => {
    expect(namesOf({ cn: 'x', sanDer: dns('a.example\0.evil') }, { trust: 'untrusted' }).alternatives).toEqual(dns('a.example\0.evil'));
  });
});

describe('without a certificate', () => {
  it('the leaf is for the host asked for, else the address', () => {
    expect(namesOf(null, { host: 'A.Example.' })).toEqual({ subject: name('a.example'), alternatives: dns('a.example'), forHostOnly: true });
    expect(namesOf(null, { host: null, ip: '192.0.2.1' }).alternatives).toEqual(der.sequence(der.tlv(0x87, Buffer.from('c0000201', 'hex'))));
    expect(namesOf(null, { host: '[::1]' }).alternatives).toEqual(der.sequence(der.tlv(0x87, Buffer.concat([Buffer.alloc(15), Buffer.from([1])]))));
    expect(namesOf(null, { host: `${'x'.repeat(60)}.example` }).subject).toBeNull();
    for (const more of [{ host: null, ip: null }, { host: 'a b' }, { host: 'a\0b' }, { host: '*.example' }, { host: '' }]) expect(failure(() => namesOf(null, more)), JSON.stringify(more)).toEqual(mintFailed);
  });
});

describe('hostForName', () => {
  it.each([['A.example', 'a.example'], ['a.example.', 'a.example'], ['localhost', 'localhost'], ['_sip.a-b.example', '_sip.a-b.example'], ['xn--bcher-kva.example', 'xn--bcher-kva.example']])('%s', (text, host) => {
    expect(hostForName(text)).toBe(host);
  });

  it.each(['', '.', 'a..b', '-a.example', 'a b', 'bücher.example', '192.0.2.1', '::1', `${'a'.repeat(64)}.example`, 'a.example\0', `${'a.'.repeat(127)}b`, '*.example'])('refuses %j', (text) => {
    expect(hostForName(text)).toBeNull();
  });
});

it('hostNamesIn: the DNS names alone, in lower case', () => {
  expect(hostNamesIn(der.sequence(der.ia5(0x82, 'A.Example'), der.tlv(0x87, Buffer.from('7f000001', 'hex')), der.ia5(0x82, '*.b.example'), der.ia5(0x86, 'sip:x')))).toEqual(['a.example', '*.b.example']);
  expect(hostNamesIn(null)).toEqual([]);
  expect(hostNamesIn(Buffer.from('3005', 'hex'))).toEqual([]);
});
