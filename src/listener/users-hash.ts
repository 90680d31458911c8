// Password hashes of an htpasswd file: bcrypt (what `htpasswd -B` writes) and Argon2 in PHC form. Weaker kinds are faults of the file.
// Verifying runs in libuv's threads.

import { argon2, timingSafeEqual } from 'node:crypto';
import { compare } from 'bcrypt';

/** A stored hash, checked to be one that can be verified. */
export interface PasswordHash {
  readonly kind: 'bcrypt' | Argon2Name;
  /** As it stands in the file. */
  readonly text: string;
}

type Argon2Name = 'argon2d' | 'argon2i' | 'argon2id';

const bcryptForm = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const argon2Form = /^\$(argon2(?:d|i|id))\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/;
/** 2^17 rounds take about ten seconds: nobody waits for that. */
const bcryptCostMax = 17;
/** 1 GiB in KiB. */
const argon2MemoryMax = 1_048_576;

/** The users of an htpasswd text, or its first fault. Empty lines and lines that begin with # are left out. */
export function parseUsers(text: string, usersMax: number): { readonly users: Map<string, PasswordHash> } | { readonly line: number; readonly problem: string } {
  const users = new Map<string, PasswordHash>();
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.trim();
    if (line === '' || line.startsWith('#')) continue;
    const fault = (problem: string): { line: number; problem: string } => ({ line: index + 1, problem });
    const colon = line.indexOf(':');
    if (colon < 1) return fault('expected name:hash');
    const name = line.slice(0, colon);
    const hash = readHash(line.slice(colon + 1));
    if (hash === null) return fault(`the hash of ${name.slice(0, 64)} is neither bcrypt (htpasswd -B) nor Argon2`);
    if (users.has(name)) return fault(`${name.slice(0, 64)} is there twice`);
    if (users.size >= usersMax) return fault(`more users than usersMax (${String(usersMax)})`);
    users.set(name, hash);
  }
  return { users };
}

function readHash(text: string): PasswordHash | null {
  const [, cost] = bcryptForm.exec(text) ?? [];
  if (cost !== undefined) return Number(cost) >= 4 && Number(cost) <= bcryptCostMax ? { kind: 'bcrypt', text } : null;
  const parts = argon2Parts(text);
  if (parts === null || parts.memory < 8 * parts.parallelism || parts.memory > argon2MemoryMax || parts.passes < 1 || parts.parallelism < 1) return null;
  return { kind: parts.name, text };
}

/** Whether the password is the one that was hashed; the comparison takes the same time wherever they differ. */
export async function verifyPassword(password: string, hash: PasswordHash): Promise<boolean> {
  // $2y$ is what $2b$ is called outside OpenBSD; the library knows only the latter.
  if (hash.kind === 'bcrypt') return await compare(password, hash.text.replace(/^\$2y/, '$2b'));
  const parts = argon2Parts(hash.text);
  if (parts === null) return false;
  const { name, memory, passes, parallelism, salt, tag } = parts;
  const made = await new Promise<Buffer>((resolve, reject) => {
    argon2(name, { message: password, nonce: salt, parallelism, memory, passes, tagLength: tag.length }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
  return timingSafeEqual(made, tag);
}

interface Argon2Parts {
  readonly name: Argon2Name;
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
  readonly salt: Buffer;
  readonly tag: Buffer;
}

function argon2Parts(text: string): Argon2Parts | null {
  const [, name, memory, passes, parallelism, salt = '', tag = ''] = argon2Form.exec(text) ?? [];
  if (name !== 'argon2d' && name !== 'argon2i' && name !== 'argon2id') return null;
  return {
    name, memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism),
    salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64'),
  };
}
