import { describe, expect, it } from 'vitest';
import { createAccess } from '../../../src/admin/access.ts';
import type { AccessOptions, Need } from '../../../src/admin/access.ts';

const judge = (options: Partial<AccessOptions>, headers: Record<string, string>, need: Need): string | null =>
  createAccess({ token: 'write', readToken: 'read', loopback: true, hosts: [], ...options })({ host: '127.0.0.1:9090', ...headers }, need)?.code ?? null;
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

describe('access', () => {
  it('loopback without a token reads and does not write', () => {
    expect(judge({}, {}, 'read')).toBeNull();
    expect(judge({}, {}, 'write')).toBe('READ_ONLY');
    expect(judge({ token: null, readToken: null }, {}, 'write')).toBe('READ_ONLY');
  });

  it('any other address needs a token for all but open routes', () => {
    expect(judge({ loopback: false }, {}, 'read')).toBe('UNAUTHORIZED');
    expect(judge({ loopback: false }, {}, 'none')).toBeNull();
    expect(judge({ loopback: false }, bearer('write'), 'write')).toBeNull();
    expect(judge({ loopback: false }, bearer('read'), 'read')).toBeNull();
    expect(judge({ loopback: false }, bearer('read'), 'write')).toBe('READ_ONLY');
  });

  it('a wrong token is refused even where none is needed', () => {
    for (const headers of [bearer('wrong'), bearer(''), { authorization: 'Basic write' }, { authorization: 'write' }, bearer('write x')]) {
      expect(judge({}, headers, 'read')).toBe('UNAUTHORIZED');
    }
    expect(judge({ token: null, readToken: null }, bearer('anything'), 'read')).toBe('UNAUTHORIZED');
    expect(judge({ token: null, readToken: null }, bearer(''), 'read')).toBe('UNAUTHORIZED');
    // A token file that was cut to nothing opens nothing.
    for (const headers of [bearer(''), { authorization: 'Basic x' }]) expect(judge({ token: '', readToken: '' }, headers, 'read')).toBe('UNAUTHORIZED');
  });

  it('names of others do not reach a loopback listener (DNS rebinding)', () => {
    for (const host of ['evil.example', 'evil.example:9090', '127.0.0.1.evil.example', '', '10.0.0.1']) expect(judge({}, { host }, 'read'), host).toBe('HOST_NOT_ALLOWED');
    for (const host of ['localhost:9090', '[::1]:9090', '127.0.0.1', '127.0.0.2:1']) expect(judge({}, { host }, 'read'), host).toBeNull();
    expect(judge({ hosts: ['Gateway.lab'] }, { host: 'gateway.LAB:9090' }, 'read')).toBeNull();
    expect(judge({}, { host: 'evil.example', ...bearer('read') }, 'read')).toBeNull();
  });

  it('pages of other origins are refused, with or without a token', () => {
    for (const headers of [{ origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'http://127.0.0.1:8080' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }]) {
      expect(judge({}, headers, 'read')).toBe('ORIGIN_NOT_ALLOWED');
      expect(judge({}, { ...headers, ...bearer('write') }, 'write')).toBe('ORIGIN_NOT_ALLOWED');
    }
    expect(judge({}, { origin: 'http://127.0.0.1:9090', 'sec-fetch-site': 'same-origin' }, 'read')).toBeNull();
    expect(judge({}, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 'read')).toBeNull();
    expect(judge({}, { 'sec-fetch-site': 'none' }, 'read')).toBeNull();
  });
});
