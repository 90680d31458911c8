import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { detectH2, detectHttp, http2Preface } from '../../../src/http/detect.ts';
import { latin1 } from './messages.ts';

const limits = limitsWith();
const yes = { facts: null };

describe('HTTP/1', () => {
  test.each([
    ['GET / HTTP/1.1\r\n', yes],
    ['OPTIONS * HTTP/1.0\r\nX', yes],
    ['M-SEARCH * HTTP/1.1\r\n', yes],
    ['\r\nGET / HTTP/1.1\r\n', yes],
    ['CONNECT a.example:443 HTTP/1.1\r\n', yes],
    ['RPC_IN_DATA /rpc/rpcproxy.dll?a:6001 HTTP/1.1\r\n', yes],
    ['OPTIONS sip:a@b SIP/2.0\r\n', 'no'],
    ['REGISTER sip:a.example SIP/2.0\r\n', 'no'],
    ['OPTIONS sip:a', 'no'],
    ['DESCRIBE rtsp://a/b RTSP/1.0\r\n', 'no'],
    ['SIP/2.0 200 OK\r\n', 'no'],
    ['HTTP/1.1 200 OK\r\n', 'no'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'no'],
    ['GET /\r\n', 'no'],
    ['\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n', 'no'],
    ['SSH-2.0-OpenSSH\r\n', 'no'],
    ['EHLO a.example\r\n', 'no'],
    ['\x16\x03\x01\x02\x00', 'no'],
    ['', 'more'],
    ['\r', 'more'],
    ['GE', 'more'],
    ['GET', 'more'],
    ['GET /abc HTTP/1.', 'more'],
    ['a'.repeat(40), 'no'],
  ])('%j is %j, and no earlier part says otherwise', (text, wanted) => {
    const bytes = latin1(text);
    expect(detectHttp(bytes, 'client', limits)).toEqual(wanted);
    for (let length = 0; length < bytes.length; length += 1) {
      const early = detectHttp(bytes.subarray(0, length), 'client', limits);
      if (early !== 'more') expect(early).toEqual(wanted);
    }
  });

  test('never comes from a server', () => {
    expect(detectHttp(latin1('GET / HTTP/1.1\r\n'), 'upstream', limits)).toBe('no');
  });

  test('a line longer than the peek bound is judged by method and target, whatever follows the bound', () => {
    const small = limitsWith({ peekBytesMax: 512 });
    const long = `/${'a'.repeat(600)}`;
    expect(detectHttp(latin1(`GET ${long}`).subarray(0, 511), 'client', small)).toBe('more');
    expect(detectHttp(latin1(`GET ${long}`), 'client', small)).toEqual(yes);
    expect(detectHttp(latin1(`POST https://a${long} HTTP/1.1\r\n`), 'client', small)).toEqual(yes);
    expect(detectHttp(latin1(`HELLO ${long}`), 'client', small)).toBe('no');
    expect(detectHttp(latin1(`GET ${'a'.repeat(600)}`), 'client', small)).toBe('no');
  });
});

test('the HTTP/2 preface is found whole, and nothing else', () => {
  for (let length = 0; length < http2Preface.length; length += 1) expect(detectH2(http2Preface.subarray(0, length), 'client', limits)).toBe('more');
  expect(detectH2(Buffer.concat([http2Preface, Buffer.from('x')]), 'client', limits)).toEqual(yes);
  expect(detectH2(latin1('PRI * HTTP/2.1'), 'client', limits)).toBe('no');
  expect(detectH2(http2Preface, 'upstream', limits)).toBe('no');
});

describe('HTTP/2 from a server that speaks first', () => {
  const preface = Buffer.from('00001204000000000000030000008000040001000000050000ffff', 'hex');

  test('is known by its SETTINGS frame at every split', () => {
    for (let size = 1; size <= preface.length; size += 1) {
      expect(detectH2(preface.subarray(0, size), 'upstream', limits)).toEqual(size < 9 ? 'more' : { facts: null });
    }
  });

  test.each([['an ACK', '000000040100000000'], ['another frame', '000008060000000000'], ['another stream', '000006040000000001'], ['half a setting', '000007040000000000'], ['a huge one', '010002040000000000'], ['SSH', Buffer.from('SSH-2.0-OpenSSH').toString('hex')], ['SMTP', Buffer.from('220 mail ESMTP\r\n').toString('hex')]])('%s is not', (_name, hex) => {
    expect(detectH2(Buffer.from(hex, 'hex'), 'upstream', limits)).toBe('no');
  });
});
