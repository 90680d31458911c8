import { execFileSync } from 'node:child_process';
import { argon2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseUsers, verifyPassword } from '../../../src/listener/users-hash.ts';
import type { PasswordHash } from '../../../src/listener/users-hash.ts';

function hashOf(line: string): PasswordHash {
  const parsed = parseUsers(line, 10);
  const [hash] = 'users' in parsed ? parsed.users.values() : [];
  if (hash === undefined) throw new Error(JSON.stringify(parsed));
  return hash;
}

function argon2Line(name: 'argon2d' | 'argon2i' | 'argon2id', password: string): string {
  const nonce = Buffer.from('0123456789abcdef');
  const tag = argon2Sync(name, { message: password, nonce, parallelism: 1, memory: 64, passes: 2, tagLength: 32 });
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
  return `u:$${name}$v=19$m=64,t=2,p=1$${text(nonce)}$${text(tag)}`;
}

describe('what is verified', () => {
  it.each(['secret', 'pass:with:colons', 'pässwörd €', ' '])('htpasswd -B of %j', async (password) => {
    const hash = hashOf(execFileSync('htpasswd', ['-nbB', '-C', '4', 'ann', password], { encoding: 'utf8' }));
    expect(hash.kind).toBe('bcrypt');
    expect(await verifyPassword(password, hash)).toBe(true);
    expect(await verifyPassword(`${password}x`, hash)).toBe(false);
    expect(await verifyPassword('', hash)).toBe(false);
  });

  it.each(['argon2id', 'argon2i', 'argon2d'] as const)('%s', async (name) => {
    const hash = hashOf(argon2Line(name, 'secret'));
    expect(hash.kind).toBe(name);
    expect(await verifyPassword('secret', hash)).toBe(true);
    expect(await verifyPassword('Secret', hash)).toBe(false);
  });

  it('a known vector of the Argon2 reference implementation', async () => {
    const hash = hashOf('u:$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc');
    expect(await verifyPassword('password', hash)).toBe(true);
  });
});

describe('what a file may hold', () => {
  it('comments and empty lines are left out', () => {
    const line = execFileSync('htpasswd', ['-nbB', '-C', '4', 'ann', 'x'], { encoding: 'utf8' });
    const parsed = parseUsers(`# people\n\n${line}\r\n`, 10);
    expect('users' in parsed ? [...parsed.users.keys()] : parsed).toEqual(['ann']);
  });

  it.each([
    ['MD5', 'ann:$apr1$x$kD1NMMtDiNkKGG1UGtXZn1'], ['SHA-1', 'ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M='], ['crypt', 'ann:rqXexS6ZhobKA'], ['plain text', 'ann:secret'],
    ['a cost nobody waits for', `ann:$2y$31$${'a'.repeat(53)}`], ['Argon2 of 9 GiB', 'ann:$argon2id$v=19$m=9999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
  ])('%s is a fault with its line', (_kind, line) => {
    expect(parseUsers(`#\n${line}\n`, 10)).toMatchObject({ line: 2, problem: expect.stringContaining('neither bcrypt') });
  });

  it('so are lines without a name, names twice, and too many', () => {
    const hash = `$2y$04$${'a'.repeat(53)}`;
    expect(parseUsers(`:${hash}`, 10)).toMatchObject({ line: 1 });
    expect(parseUsers('nothing', 10)).toMatchObject({ line: 1 });
    expect(parseUsers(`a:${hash}\na:${hash}`, 10)).toMatchObject({ line: 2, problem: 'a is there twice' });
    expect(parseUsers(`a:${hash}\nb:${hash}`, 1)).toMatchObject({ line: 2 });
  });
});
