import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { fieldValue, forwardedFields, hostAndPort, httpTarget, lessForwards, maxForwards, returnedFields } from '../../../src/http/forward-target.ts';
import { HeadReader, isFault } from '../../../src/http/head-reader.ts';

describe('targets', () => {
  it.each([
    ['http://a.test/', { host: 'a.test', port: 80, authority: 'a.test', path: '/' }],
    ['HTTP://A.Test:8080/x?y', { host: 'a.test', port: 8080, authority: 'A.Test:8080', path: '/x?y' }],
    ['http://a.test', { host: 'a.test', port: 80, authority: 'a.test', path: '/' }],
    ['http://a.test?q', { host: 'a.test', port: 80, authority: 'a.test', path: '/?q' }],
    ['http://a.test:/x#f', { host: 'a.test', port: 80, authority: 'a.test', path: '/x' }],
    ['http://[2001:db8::1]:81/', { host: '2001:db8::1', port: 81, authority: '[2001:db8::1]:81', path: '/' }],
    ['http://my_host./', { host: 'my_host', port: 80, authority: 'my_host.', path: '/' }],
  ])('%s', (target, wanted) => {
    expect(httpTarget('GET', target)).toEqual(wanted);
  });

  it('OPTIONS without a path has none', () => {
    expect(httpTarget('OPTIONS', 'http://a.test')).toMatchObject({ path: '' });
    expect(httpTarget('OPTIONS', 'http://a.test/')).toMatchObject({ path: '/' });
  });

  it.each(['/', '*', 'https://a.test/', 'http:///x', 'http://a.test:0/', 'http://a.test:65536/', 'http://[a.test]/', 'http://2001:db8::1/', 'http://a%2e/', 'http://-a/', 'http://u@a/'])('%s is none', (target) => {
    expect(httpTarget('GET', target)).toBeNull();
  });

  it('an authority without a port is one only where there is a default', () => {
    expect([hostAndPort('a.test', 80), hostAndPort('a.test', null), hostAndPort('a.test:1', null)]).toEqual([{ host: 'a.test', port: 80 }, null, { host: 'a.test', port: 1 }]);
  });
});

/** The fields that go on of a request with these lines. */
function forwarded(lines: string): string[] {
  const bytes = Buffer.from(`GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`, 'latin1');
  const head = new HeadReader('request', limitsWith()).read(bytes, 0);
  if (head === 'more' || isFault(head)) throw new Error(JSON.stringify(head));
  return forwardedFields(head, bytes);
}

describe('fields of requests', () => {
  it('keep order, case and octets', () => {
    expect(forwarded('B: 1\r\na:\t 2 3 \r\nX: \xff\r\nEmpty:\r\nB: 4\r\n')).toEqual(['B', '1', 'a', '2 3', 'X', '\xff', 'Empty', '', 'B', '4']);
  });

  it('lose what is for the next hop, and what Connection names', () => {
    expect(forwarded('Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: x\r\nProxy-Authorization: y\r\nConnection: close, X-One\r\nProxy-Connection: X-Two\r\nx-one: 1\r\nX-TWO: 2\r\nTrailer: t\r\nExpect: 100-continue\r\nLast: 1\r\n')).toEqual(['Last', '1']);
  });

  it('Connection cannot take framing or routing away', () => {
    expect(forwarded('Connection: host, content-type\r\nContent-Type: a\r\n')).toEqual(['Content-Type', 'a']);
  });
});

describe('fields of responses', () => {
  const raw = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'));

  it('lose what was for this hop', () => {
    expect(returnedFields(raw('A', '1', 'Connection', 'x-hop', 'X-Hop', '2', 'Transfer-Encoding', 'Chunked', 'Proxy-Authenticate', 'Basic', 'Set-Cookie', '3', 'set-cookie', '4'))).toEqual([['A', '1'], ['Set-Cookie', '3'], ['set-cookie', '4']]);
  });

  it('are refused with control characters, or a coding that stays on', () => {
    expect(returnedFields(raw('A', 'x\r\ny'))).toBeNull();
    expect(returnedFields(raw('Transfer-Encoding', 'gzip, chunked'))).toBeNull();
  });

  it('are found by name', () => {
    expect([fieldValue([['A', '1'], ['a', '2']], 'a'), fieldValue([], 'a')]).toEqual(['1', null]);
  });
});

it('Max-Forwards counts down for methods that count', () => {
  const fields = ['A', '5', 'max-forwards', '2'];
  expect(maxForwards(fields)).toBe(2);
  lessForwards(fields, 'GET');
  expect(fields[3]).toBe('2');
  lessForwards(fields, 'TRACE');
  expect(fields).toEqual(['A', '5', 'max-forwards', '1']);
  expect([maxForwards([]), maxForwards(['Max-Forwards', 'x'])]).toEqual([null, null]);
});
