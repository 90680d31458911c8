import { describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { loginOf, withChallenge } from '../../../src/http/forward-login.ts';
import type { Login } from '../../../src/http/forward-login.ts';
import { HeadReader, isFault } from '../../../src/http/head-reader.ts';
import { pageBytes, pageFor } from '../../../src/http/pages.ts';

function login(lines: string): Login | null {
  const bytes = Buffer.from(`GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`, 'latin1');
  const head = new HeadReader('request', limitsWith()).read(bytes, 0);
  if (head === 'more' || isFault(head)) throw new Error(JSON.stringify(head));
  return loginOf(head, bytes);
}

const encoded = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

describe('Proxy-Authorization', () => {
  it.each([['ann:secret', { user: 'ann', password: 'secret' }], ['ann:a:b', { user: 'ann', password: 'a:b' }], [':', { user: '', password: '' }], ['änn:€', { user: 'änn', password: '€' }]])('%s', (text, wanted) => {
    expect(login(`proxy-authorization: bAsIc  ${encoded(text)} \r\n`)).toEqual(wanted);
  });

  it.each([
    ['no field', ''], ['no colon', `Proxy-Authorization: Basic ${encoded('ann')}\r\n`], ['another scheme', 'Proxy-Authorization: Bearer abc\r\n'], ['no base64', 'Proxy-Authorization: Basic ann:secret\r\n'],
    ['two of them', `Proxy-Authorization: Basic ${encoded('a:b')}\r\nProxy-Authorization: Basic ${encoded('a:b')}\r\n`], ['the server\'s own', `Authorization: Basic ${encoded('a:b')}\r\n`],
  ])('%s is no login', (_name, lines) => {
    expect(login(lines)).toBeNull();
  });
});

it('the challenge names the realm, whatever it holds', () => {
  const page = withChallenge(pageFor({ code: 'AUTH_REQUIRED', detail: null, rule: null, status: null }, null), 'L"a\\b\r\nX: ü');
  const text = pageBytes(page, { accept: null, toHead: true, keepAlive: true }).toString('utf8');
  expect(text).toMatch(/^HTTP\/1\.1 407 /);
  expect(text).toContain('Proxy-Authenticate: Basic realm="L\\"a\\\\b  X: ü", charset="UTF-8"\r\n');
});
