import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { HeadReader, isFault } from '../../../src/http/head-reader.ts';
import type { Head } from '../../../src/http/head.ts';
import { latin1, readStream, splits } from './messages.ts';

function headOf(text: string, kind: 'request' | 'response' = 'request'): Head {
  const head = new HeadReader(kind, limitsWith()).read(latin1(text), 0);
  if (head === 'more' || isFault(head)) throw new Error(JSON.stringify(head));
  return head;
}

describe('a good head', () => {
  test('tells what framing, connection and routing need', () => {
    const head = headOf('POST /a?b HTTP/1.1\r\nHOST: \tA.example:80 \r\nContent-Length: 12\r\nConnection: x, Upgrade\r\nUpgrade: WebSocket\r\nExpect: 100-Continue\r\nAccept: text/html\r\n\r\n');
    expect(head).toMatchObject({
      method: 'POST', target: '/a?b', minor: 1, host: 'A.example:80', contentLength: 12, chunked: false, upgradeOption: true, upgrade: 'websocket',
      expectContinue: true, accept: 'text/html', close: false, fields: 6,
    });
  });

  test('forgets the one before', () => {
    const reader = new HeadReader('request', limitsWith());
    const bytes = latin1('PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n');
    const first = reader.read(bytes, 0) as Head;
    const next = first.lengthBytes;
    expect(reader.read(bytes, next)).toMatchObject({ method: 'GET', minor: 1, host: 'b', contentLength: -1, close: false, lengthBytes: bytes.length - next });
  });

  test.each([
    'GET / HTTP/1.1\r\nHost:\r\n\r\n', 'GET / HTTP/1.0\r\n\r\n', '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET http://A/b HTTP/1.1\r\nHost: a:80\r\n\r\n', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 'CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n',
    'GET /|{}"<>\\^` HTTP/1.1\r\nHost: a\r\nX: \xff\t\x80\r\n\r\n', 'X-ODD! / HTTP/1.1\r\nHost: a_b\r\nX:\r\n\r\n',
  ])('%j is read alike at every split', (text) => {
    const whole = readStream('request', [latin1(text)]);
    expect(whole).toMatchObject({ end: 'between', messages: [{ framing: 'none' }] });
    for (const split of splits(latin1(text))) expect(readStream('request', split)).toEqual(whole);
  });

  test.each([
    ['HTTP/1.1 200 OK\r\n\r\n', 'close'], ['HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', 'none'], ['HTTP/1.0 404 N\xf6\r\nContent-Length: 1\r\n\r\n', 'length'],
    ['HTTP/1.1 200 \r\nTransfer-Encoding: gzip, Chunked\r\n\r\n', 'chunked'], ['HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n', 'none'], ['HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n', 'none'],
    // What a response says of a host is nobody's business.
    ['HTTP/1.1 200 OK\r\nHost: a/b\r\nHost: c\r\nContent-Length: 2\r\n\r\nab', 'length'],
  ])('response %j has framing %s', (text, framing) => {
    for (const split of splits(latin1(text))) expect(readStream('response', split).messages).toMatchObject([{ framing }]);
  });
});

test('bytes that are no HTTP at all are known at once or with their line', () => {
  for (const text of ['\x16\x03\x01', '\x80\x2e', '\x00']) expect(readStream('request', [latin1(text)]).end).toBe('NOT_HTTP');
  for (const text of ['REGISTER sip:a SIP/2.0\r\n', 'GET /\r\n', '{"a":1}\n', 'HTTP/1.1 200 OK\r\n']) {
    for (const split of splits(latin1(text))) expect(readStream('request', split).end, text).toBe('NOT_HTTP');
  }
});

test('a long line sent byte by byte costs no quadratic work', () => {
  const reader = new HeadReader('request', limitsWith());
  const bytes = latin1(`GET / HTTP/1.1\r\nX: ${'y'.repeat(60_000)}`);
  const started = process.cpuUsage().user;
  for (let length = 1; length <= bytes.length; length += 1) expect(reader.read(bytes.subarray(0, length), 0) === 'more').toBe(true);
  // Reading the line anew for each byte would take more than ten seconds.
  expect(process.cpuUsage().user - started).toBeLessThan(3_000_000);
});

test('limits count the whole head and every field', () => {
  const limits = limitsWith({ httpHeadBytesMax: 1024, httpHeadersMax: 8 });
  const exact = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(1024 - 32)}\r\n\r\n`;
  expect(exact.length).toBe(1024);
  expect(readStream('request', [latin1(exact)], limits).end).toBe('between');
  expect(readStream('request', [latin1(exact.replace('X:', 'X: '))], limits).end).toBe('HTTP_AMBIGUOUS');
  const fields = (count: number): string => `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(count - 1)}\r\n`;
  expect(readStream('request', [latin1(fields(8))], limits).end).toBe('between');
  expect(readStream('request', [latin1(fields(9))], limits).end).toBe('HTTP_AMBIGUOUS');
});
