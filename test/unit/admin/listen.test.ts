import { describe, expect, it } from 'vitest';
import { hostOf, isLoopback, parseListen } from '../../../src/admin/listen.ts';

describe('listen addresses', () => {
  it.each([
    ['127.0.0.1:9090', { host: '127.0.0.1', port: 9090 }],
    ['[::]:9090', { host: '::', port: 9090 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
  ])('%s', (text, expected) => {
    expect(parseListen(text)).toEqual(expected);
  });

  it.each(['', '9090', ':9090', '::1:9090', '127.0.0.1', '127.0.0.1:99999', '[127.0.0.1]:1', 'a b:x'])('%s is none', (text) => {
    expect(parseListen(text)).toBeNull();
  });

  it('loopback is told from the rest', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST', '::ffff:127.0.0.1']) expect(isLoopback(host), host).toBe(true);
    for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.evil.example', '127.0.0.1.evil.example', '::ffff:10.0.0.1', '']) expect(isLoopback(host), host).toBe(false);
  });

  it('hosts of Host headers', () => {
    expect(hostOf('LocalHost:9090')).toBe('localhost');
    expect(hostOf('[::1]:9090')).toBe('::1');
    expect(hostOf('127.0.0.1')).toBe('127.0.0.1');
    for (const text of ['', 'a b', 'user@host', '[::1', 'host:port', 'a/b']) expect(hostOf(text), text).toBeNull();
  });
});
