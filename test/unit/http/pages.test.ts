import { expect, test } from 'vitest';
import type { Refusal } from '../../../src/core/flow.ts';
import { pageBytes, pageFor, refusalStatus, responseBytes } from '../../../src/http/pages.ts';

const refusal: Refusal = { code: 'REQUEST_DENIED', detail: '<script>alert("1")</script>\r\nX: y', rule: 'http/a&b', status: null };

test.each([
  [null, 'text/plain; charset=utf-8'], ['*/*', 'text/plain; charset=utf-8'], ['text/html,application/xhtml+xml,*/*;q=0.8', 'text/html; charset=utf-8'],
  ['application/json', 'application/json'], ['application/vnd.microsoft.com.ucwa+json', 'application/json'], ['text/html;q=0.1, application/json;q=0.9', 'application/json'],
  ['text/html;q=0', 'text/plain; charset=utf-8'], [';;;q=x,,', 'text/plain; charset=utf-8'],
])('Accept %j gets %s', (accept, contentType) => {
  expect(pageFor(refusal, accept).contentType).toBe(contentType);
});

test('every form names code, rule and cause, and escapes what came from outside', () => {
  const html = pageFor(refusal, 'text/html').body.toString();
  expect(html).toContain('REQUEST_DENIED');
  expect(html).toContain('http/a&amp;b');
  expect(html).not.toContain('<script>');
  expect(JSON.parse(pageFor(refusal, 'application/json').body.toString())).toMatchObject({ error: { code: 'REQUEST_DENIED', status: 403, rule: 'http/a&b' } });
  expect(pageFor(refusal, null).body.toString()).toContain('Detail: <script>alert("1")</script>  X: y\n');
});

test('statuses come from the rule, the code or its stage', () => {
  expect(refusalStatus({ ...refusal, status: 451 })).toBe(451);
  expect(refusalStatus({ ...refusal, status: 200 })).toBe(403);
  expect(refusalStatus({ ...refusal, code: 'DIAL_TIMEOUT' })).toBe(504);
  expect(refusalStatus({ ...refusal, code: 'UPSTREAM_CERT_EXPIRED' })).toBe(502);
  expect(refusalStatus({ ...refusal, code: 'HTTP_AMBIGUOUS' })).toBe(400);
  expect(refusalStatus({ ...refusal, code: 'AUTH_REQUIRED' })).toBe(407);
});

test('messages are complete, never cached, and without body for HEAD', () => {
  const page = pageFor({ ...refusal, code: 'AUTH_REQUIRED' }, null);
  const text = pageBytes(page, { accept: null, toHead: false, keepAlive: false }).toString();
  expect(text).toMatch(/^HTTP\/1\.1 407 Proxy Authentication Required\r\n[\s\S]*Cache-Control: no-store\r\n[\s\S]*Proxy-Authenticate: Basic [\s\S]*Connection: close\r\n\r\n407/);
  expect(text).toContain(`Content-Length: ${String(page.body.length)}\r\n`);
  const head = pageBytes(page, { accept: null, toHead: true, keepAlive: true }).toString();
  expect(head.endsWith('\r\n\r\n')).toBe(true);
  expect(head).not.toContain('Connection');
});

test('framing fields of an answer are ours alone', () => {
  const text = responseBytes(200, { 'content-length': '9', 'Transfer-Encoding': 'chunked', 'X-A': 'b' }, Buffer.from('ok'), { toHead: false, keepAlive: true }).toString();
  expect(text).toBe('HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok');
});
