// Detection of SIP: the table of first bytes, each at every prefix; answers never change as bytes come.

import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { detectSip } from '../../../src/sip/detect.ts';

const limits = limitsWith();
const judge = (text: string, overrides = limits) => {
  const found = detectSip(Buffer.from(text, 'latin1'), 'client', overrides);
  return typeof found === 'string' ? found : 'sip';
};

describe.each<[string, string, 'sip' | 'no' | 'more']>([
  ['a request', 'REGISTER sip:contoso.test SIP/2.0\r\n', 'sip'],
  ['lower-case version, tel URI', 'INVITE tel:+12015550123 sip/2.0\r\n', 'sip'],
  ['keep-alives first', '\r\n\r\n\r\nOPTIONS sip:a@b SIP/2.0\r\n', 'sip'],
  ['an unknown method', 'BENOTIFY sip:a@b SIP/2.0\r\n', 'sip'],
  ['odd blanks, as a server may take them', 'OPTIONS  sip:a@b  SIP/2.0 \r\n', 'sip'],
  ['LF-only, so that SIP rules see it', 'OPTIONS sip:a@b SIP/2.0\n', 'sip'],
  ['a response', 'SIP/2.0 200 OK', 'sip'],
  ['a response without a reason', 'SIP/2.0 100\r\n', 'sip'],
  ['HTTP with a SIP method', 'OPTIONS * HTTP/1.1\r\n', 'no'],
  ['HTTP with an absolute URI', 'GET http://a.test/ HTTP/1.1\r\n', 'no'],
  ['CONNECT', 'CONNECT a.test:443 HTTP/1.1\r\n', 'no'],
  ['RTSP', 'OPTIONS rtsp://a.test/ RTSP/1.0\r\n', 'no'],
  ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'no'],
  ['a version within the URI only', 'GET /SIP/2.0 HTTP/1.1\r\n', 'no'],
  ['no URI', 'OPTIONS SIP/2.0\r\n', 'no'],
  ['another version', 'OPTIONS sip:a@b SIP/3.0\r\n', 'no'],
  ['a status of four digits', 'SIP/2.0 2000 OK\r\n', 'no'],
  ['a status of letters', 'SIP/2.0 OK\r\n', 'no'],
  ['another version of a response', 'SIP/1.0 200 OK\r\n', 'no'],
  ['TLS', '\x16\x03\x01\x02\x00', 'no'],
  ['a banner', '220 mail.test ESMTP\r\n', 'no'],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'no'],
  ['a method of 65 letters', `${'M'.repeat(65)} sip:a@b SIP/2.0\r\n`, 'no'],
  ['half a line', 'REGISTER sip:contoso.test SIP/2.', 'more'],
  ['line ends only', '\r\n\r\n', 'more'],
  ['half a status line', 'SIP/2.0 20', 'more'],
  ['nothing', '', 'more'],
])('%s', (_name, text, expected) => {
  test(`is ${expected}`, () => expect(judge(text)).toBe(expected));

  test('is never first judged one way, then another', () => {
    const answers = Array.from({ length: text.length + 1 }, (_, length) => judge(text.slice(0, length))).filter((answer) => answer !== 'more');
    expect(new Set(answers).size).toBeLessThanOrEqual(1);
    expect(judge(`${text}${text}`)).toBe(answers.at(-1) ?? judge(`${text}${text}`));
  });
});

test('facts name the kind and the method', () => {
  expect(detectSip(Buffer.from('\r\nMESSAGE sip:a@b SIP/2.0\r\n'), 'client', limits)).toEqual({ facts: { kind: 'request', method: 'MESSAGE' } });
  expect(detectSip(Buffer.from('SIP/2.0 200 OK\r\n'), 'upstream', limits)).toEqual({ facts: { kind: 'response' } });
});

test('the bound of a start line decides at every prefix alike', () => {
  const small = limitsWith({ sipStartLineBytesMax: 256 });
  const line = (bytes: number): string => `OPTIONS sip:${'a'.repeat(bytes - 'OPTIONS sip: SIP/2.0\r\n'.length)} SIP/2.0\r\n`;
  expect(judge(line(256), small)).toBe('sip');
  expect(judge(line(257), small)).toBe('no');
  expect(judge(line(257).slice(0, 255), small)).toBe('more');
  expect(judge(line(257).slice(0, 256), small)).toBe('no');
  expect(judge('\r\n'.repeat(128), small)).toBe('no');
});
