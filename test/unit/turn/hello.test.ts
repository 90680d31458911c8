// The pseudo hellos: exact bytes, and what a server's answer is at every length.

import { describe, expect, it } from 'vitest';
import {
  judgePseudoAnswer, makeHello, msClientHello, msServerHello, readMsServerHello, readSsltcpServerHello, ssltcpClientHello, ssltcpServerHello, startsLike,
} from '../../../src/turn/hello.ts';
import { captureSections } from './support.ts';

const captured = captureSections()[0]?.chunks.find((chunk) => chunk.from === 'server')?.bytes ?? Buffer.alloc(0);

describe('templates', () => {
  it('have the lengths of FACTS A.1 and A.7', () => {
    expect([msClientHello, msServerHello, ssltcpClientHello, ssltcpServerHello].map(({ fixed }) => fixed.length)).toEqual([50, 83, 72, 79]);
  });

  it('made hellos match, differ each time, and a changed fixed byte does not match', () => {
    for (const template of [msClientHello, msServerHello]) {
      const hello = makeHello(template);
      expect(startsLike(hello, template)).toBe(true);
      expect(hello.equals(makeHello(template))).toBe(false);
      for (let at = 0; at < hello.length; at += 1) {
        const changed = Buffer.from(hello);
        changed[at] = (changed[at] ?? 0) ^ 0xff;
        expect(startsLike(changed, template)).toBe(template.mask[at] === 0);
      }
    }
    expect(makeHello(ssltcpServerHello).equals(ssltcpServerHello.fixed)).toBe(true);
  });
});

describe('a server\'s answer', () => {
  it.each([['captured', captured], ['made', makeHello(msServerHello)]])('the %s hello: more until it is whole, then its length', (_name, hello) => {
    for (let length = 0; length < hello.length; length += 1) expect(readMsServerHello(hello.subarray(0, length))).toBe('more');
    expect(readMsServerHello(hello)).toEqual({ bytes: 83 });
    expect(readMsServerHello(Buffer.concat([hello, Buffer.from('0200')]))).toEqual({ bytes: 83 });
    expect(judgePseudoAnswer(hello)).toBe('ms-turn');
    expect(judgePseudoAnswer(hello.subarray(0, 82))).toBe('more');
  });

  it('a hello without session id is one too; real TLS and everything else is not, as early as can be told', () => {
    const noSession = Buffer.from(`160301002e0200002603 01${'ab'.repeat(32)}00001800 0e000000`.replace(/ /g, ''), 'hex');
    expect(readMsServerHello(noSession)).toEqual({ bytes: 51 });
    const cases: readonly [string, string][] = [
      ['an alert', '15030100020246'],
      ['text', 'HTTP/1.1 400'.split('').map((c) => c.charCodeAt(0).toString(16)).join('')],
      ['ServerHello alone in its record', `160303004602000042 0303${'ab'.repeat(32)}00c02f00`.replace(/ /g, '')],
      ['a certificate after ServerHello', `1603010400 02000046 0301`.replace(/ /g, '')],
      ['ServerKeyExchange in place of Done', `160301004e020000460301${'00'.repeat(32)}20${'00'.repeat(32)}0018000c`],
      ['a session id of another length', `160301004e020000460301${'00'.repeat(32)}10`],
    ];
    for (const [name, hex] of cases) expect(readMsServerHello(Buffer.from(hex, 'hex')), name).toBe('no');
  });

  it('ssltcp compares all 79 bytes', () => {
    const hello = ssltcpServerHello.fixed;
    expect(readSsltcpServerHello(hello.subarray(0, 78))).toBe('more');
    expect(readSsltcpServerHello(hello)).toEqual({ bytes: 79 });
    const changed = Buffer.from(hello);
    changed[78] = 1;
    expect(readSsltcpServerHello(changed)).toBe('no');
  });
});
