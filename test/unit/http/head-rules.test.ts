import { expect, test } from 'vitest';
import { checkRequest, checkResponse, persists, requestFraming, requestHost, responseFraming } from '../../../src/http/head-rules.ts';
import { Head } from '../../../src/http/head.ts';

const head = (parts: Partial<Head>): Head => Object.assign(new Head(), { method: 'GET', target: '/', host: 'a' }, parts);

test('persistence is by version and options (RFC 9112 section 9.3)', () => {
  expect(persists(head({ minor: 1 }))).toBe(true);
  expect(persists(head({ minor: 1, close: true, keepAlive: true }))).toBe(false);
  expect(persists(head({ minor: 0 }))).toBe(false);
  expect(persists(head({ minor: 0, keepAlive: true }))).toBe(true);
});

test('framing is by section 6.3', () => {
  expect(requestFraming(head({}))).toBe('none');
  expect(requestFraming(head({ contentLength: 1 }))).toBe('length');
  expect(requestFraming(head({ chunked: true }))).toBe('chunked');
  expect(responseFraming(head({ status: 200 }), false)).toBe('close');
  expect(responseFraming(head({ status: 200, chunked: true }), true)).toBe('none');
  expect(responseFraming(head({ status: 304, contentLength: 5 }), false)).toBe('none');
});

test('the host is that of an absolute target, else Host', () => {
  expect(requestHost(head({ target: 'http://b:81/x', host: 'a' }))).toBe('b:81');
  expect(requestHost(head({ target: '/http://b/' }))).toBe('a');
});

test('heads that contradict themselves are refused', () => {
  expect(checkRequest(head({}))).toBeNull();
  expect(checkRequest(head({ host: null }))).toMatchObject({ code: 'HTTP_MALFORMED' });
  expect(checkRequest(head({ transferEncoding: true, chunked: true, contentLength: 0 }))).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
  expect(checkResponse(head({ status: 204, contentLength: 1 }))).toMatchObject({ code: 'HTTP_AMBIGUOUS' });
});
