// Detectors: the same answer at every split, near matches as suspects, real hellos left to TLS.

import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Detect, Found } from '../../../src/core/flow.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { encodeMessage } from '../../../src/turn/codec.ts';
import { detectMsTurn, detectSsltcp, detectTurn, startOf } from '../../../src/turn/detect.ts';
import { makeHello, msClientHello, ssltcpClientHello } from '../../../src/turn/hello.ts';
import { captureSections } from './support.ts';

const limits = limitsWith();
const detectors: readonly Detect[] = [detectMsTurn, detectSsltcp, detectTurn];

/** The first final answer while bytes come one by one, and after how many. */
function verdict(detect: Detect, bytes: Buffer): { found: Found; after: number } {
  for (let length = 0; length <= bytes.length; length += 1) {
    const found = detect(bytes.subarray(0, length), 'client', limits);
    if (found === 'more') continue;
    // More bytes never change it.
    for (let longer = length; longer <= bytes.length; longer += 1) expect(detect(bytes.subarray(0, longer), 'client', limits)).toEqual(found);
    return { found, after: length };
  }
  return { found: 'more', after: bytes.length };
}

const withHello = { facts: { hello: true } };
const withoutHello = { facts: { hello: false } };

describe('MS-TURN', () => {
  it('the pseudo hello of the capture and made ones, after exactly 50 bytes', () => {
    const captured = captureSections()[0]?.chunks[0]?.bytes ?? Buffer.alloc(0);
    for (const hello of [captured, makeHello(msClientHello)]) expect(verdict(detectMsTurn, hello)).toEqual({ found: withHello, after: 50 });
  });

  it('bare framed: the cookie at stream offset 24', () => {
    const first = captureSections()[3]?.chunks[0]?.bytes ?? Buffer.alloc(0);
    expect(verdict(detectMsTurn, first)).toEqual({ found: withoutHello, after: 32 });
    const otherLength = Buffer.from(first);
    otherLength[3] = 0x25;
    expect(verdict(detectMsTurn, otherLength).found).toBe('no');
    const noCookie = Buffer.from(first);
    noCookie[28] = 0;
    expect(verdict(detectMsTurn, noCookie).found).toBe('no');
  });

  it('multiplexed: ff10 with TURN, STUN or RTP inside, and nothing else', () => {
    const wrap = (inner: Buffer): Buffer => Buffer.concat([Buffer.from([0xff, 0x10, 0, 8 + inner.length]), Buffer.alloc(8, 7), inner]);
    expect(verdict(detectMsTurn, wrap(encodeMessage({ dialect: 'ms', type: 3, attributes: [] }))).found).toEqual(withoutHello);
    expect(verdict(detectMsTurn, wrap(encodeMessage({ dialect: 'rfc', type: 1, attributes: [] }))).found).toEqual(withoutHello);
    expect(verdict(detectMsTurn, wrap(Buffer.alloc(20, 0x80))).found).toEqual(withoutHello);
    expect(verdict(detectMsTurn, wrap(Buffer.alloc(40, 0x01))).found).toBe('no');
    expect(verdict(detectMsTurn, wrap(Buffer.alloc(20, 0xc0))).found).toBe('no');
  });

  /** An old hello: record and client version, cipher suites, what follows the compression methods. */
  const oldHello = (version: string, suites: string, tail = '', sessionId = '00'): Buffer => {
    const suiteBytes = (suites.length / 2).toString(16).padStart(4, '0');
    const body = `${version}${'5a'.repeat(32)}${sessionId}${suiteBytes}${suites}0100${tail}`;
    const length = body.length / 2;
    return Buffer.from(`160301${(length + 4).toString(16).padStart(4, '0')}01${length.toString(16).padStart(6, '0')}${body}`, 'hex');
  };

  it.each([
    ['another cipher', oldHello('0301', '0034')],
    ['several ciphers', oldHello('0301', '00180034001b')],
    ['SSL 3.0', oldHello('0300', '0018')],
    ['TLS 1.1', oldHello('0302', '0018')],
    ['a real TLS 1.0 client without extensions', oldHello('0301', '002f0035000a00050004')],
  ])('a near match is suspect: %s', (_name, hello) => {
    expect(verdict(detectMsTurn, hello)).toEqual({ found: 'suspect', after: hello.length });
  });

  it.each([
    ['TLS 1.2', oldHello('0303', '0018')],
    ['extensions', oldHello('0301', '0018', '0004ff010000')],
    ['an empty extensions block', oldHello('0301', '0018', '0000')],
    ['a session id', oldHello('0301', '0018', '', `20${'33'.repeat(32)}`)],
    ['no cipher', oldHello('0301', '')],
  ])('not even suspect: %s', (_name, hello) => {
    expect(verdict(detectMsTurn, hello).found).toBe('no');
  });

  it('a suspect longer than peekBytesMax is left to TLS', () => {
    const hello = oldHello('0301', '002f'.repeat(400));
    expect(detectMsTurn(hello, 'client', limitsWith({ peekBytesMax: 512 }))).toBe('no');
    expect(detectMsTurn(hello, 'client', limits)).toBe('suspect');
  });
});

describe('ssltcp and TURN', () => {
  it('ssltcp: all 72 bytes', () => {
    expect(verdict(detectSsltcp, ssltcpClientHello.fixed)).toEqual({ found: withHello, after: 72 });
    const changed = Buffer.from(ssltcpClientHello.fixed);
    changed[71] = 0;
    expect(verdict(detectSsltcp, changed).found).toBe('no');
  });

  it('TURN: the cookie at offset 4', () => {
    const request = encodeMessage({ dialect: 'rfc', type: 3, attributes: [] });
    expect(verdict(detectTurn, request)).toEqual({ found: withoutHello, after: 8 });
    expect(verdict(detectTurn, Buffer.from('000300052112a442', 'hex'))).toEqual({ found: 'no', after: 4 });
    expect(verdict(detectTurn, Buffer.from('400300082112a442', 'hex'))).toEqual({ found: 'no', after: 1 });
  });
});

describe('what is not TURN', () => {
  const hellos = readdirSync(new URL('../../data/client-hellos/', import.meta.url)).filter((name) => name.endsWith('.hex'));
  it.each(hellos)('the hello of %s is TLS\'s', (name) => {
    const hello = Buffer.from(readFileSync(new URL(`../../data/client-hellos/${name}`, import.meta.url), 'utf8').replace(/\s/g, ''), 'hex');
    expect(hello.length).toBeGreaterThan(40);
    for (const detect of detectors) expect(verdict(detect, hello).found).toBe('no');
  });

  it.each(['GET / HTTP/1.1\r\n\r\n', 'REGISTER sip:x SIP/2.0\r\n\r\n', '\r\n\r\nOPTIONS sip:x SIP/2.0', 'SSH-2.0-x\r\n', '\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000'])('%j', (text) => {
    for (const detect of detectors) expect(verdict(detect, Buffer.from(text, 'latin1')).found).toBe('no');
  });

  it('a server that speaks first', () => {
    for (const detect of detectors) expect(detect(makeHello(msClientHello), 'upstream', limits)).toBe('no');
  });
});

describe('startOf', () => {
  it('takes the detector\'s word, else looks at the first byte', () => {
    expect(startOf({ hello: true }, Buffer.alloc(0))).toEqual({ hello: true });
    expect(startOf({ hello: false }, Buffer.from([0x16]))).toEqual({ hello: false });
    expect(startOf(null, Buffer.from([0x16]))).toEqual({ hello: true });
    expect(startOf(undefined, Buffer.from([0x80]))).toEqual({ hello: true });
    expect(startOf(null, Buffer.from([0x02]))).toEqual({ hello: false });
  });
});
