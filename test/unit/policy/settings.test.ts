// Switches and error settings: what wins over what.

import { describe, expect, it } from 'vitest';
import { tunnelOnErrorDefault } from '../../../src/core/errors.ts';
import { protocolNames } from '../../../src/core/protocols.ts';
import { codesOf, firstSetting, namesOf, serviceSwitches, withClientCert, withWords } from '../../../src/policy/settings.ts';

describe('namesOf', () => {
  it('spells groups out', () => {
    expect([...namesOf(['https'])].sort()).toEqual(['h2', 'https']);
    expect([...namesOf(['sip-any', 'https-h1'])].sort()).toEqual(['https', 'sip', 'sips']);
    expect(namesOf(['no such word']).size).toBe(0);
  });
});

describe('withWords', () => {
  const nothing = serviceSwitches({ type: 'socks', detectProtocol: false });
  it('on takes away, off adds, off wins', () => {
    const both = withWords(nothing, { on: ['tls', 'sip-any'], off: ['sips'] });
    expect([both.off.has('tls'), both.off.has('sip'), both.off.has('sips'), both.off.has('http')]).toEqual([false, false, true, true]);
    expect([...both.on].sort()).toEqual(['sip', 'tls']);
  });
  it('a later rule can switch off again what an earlier one switched on', () => {
    const later = withWords(withWords(nothing, { on: ['sip-any'] }), { off: ['sip'] });
    expect([later.off.has('sip'), later.off.has('sips'), later.on.has('sip'), later.on.has('sips')]).toEqual([true, false, false, true]);
  });
  it('no words change nothing', () => expect(withWords(nothing, undefined)).toBe(nothing));
  it('states are never switched', () => {
    for (const state of ['unknown', 'undetected', 'pending'] as const) expect(nothing.off.has(state)).toBe(false);
    expect(nothing.off.size).toBe(protocolNames.length - 3);
  });
});

describe('firstSetting', () => {
  it('takes the first that says anything, even when it says no', () => {
    const setting = firstSetting([{ setting: undefined, from: 'a' }, { setting: false, from: 'b' }, { setting: true, from: 'c' }]);
    expect([setting.codes.size, setting.from]).toEqual([0, 'b']);
  });
  it('nothing said is nothing tunnelled', () => expect(firstSetting([]).codes.size).toBe(0));
  it('true is shared, not copied', () => {
    expect(codesOf(true)).toBe(codesOf(true));
    expect(codesOf(true).size).toBe(tunnelOnErrorDefault.length);
  });
});

describe('withClientCert', () => {
  it('never adds offered certificates by itself', () => {
    const { codes } = withClientCert(codesOf(['NOT_TLS']), 'tunnel');
    expect([...codes].sort()).toEqual(['NOT_TLS', 'UPSTREAM_WANTS_CLIENT_CERT']);
  });
  it('unsaid, an offered one in the list means tunnel, for required ones as well', () => {
    const { clientCert, codes } = withClientCert(codesOf(['UPSTREAM_OFFERS_CLIENT_CERT']), undefined);
    expect([clientCert, [...codes].sort()]).toEqual(['tunnel', ['UPSTREAM_OFFERS_CLIENT_CERT', 'UPSTREAM_WANTS_CLIENT_CERT']]);
  });
});
