// The users of a service: an htpasswd file with bcrypt or Argon2 hashes, read again when it changes. Hashing happens off the event loop,
// right logins are remembered for a while as keyed digests; no password is kept, and how long an answer takes does not tell names.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import { versionOf } from './file-version.ts';
import { parseUsers, verifyPassword } from './users-hash.ts';
import type { PasswordHash } from './users-hash.ts';

export interface UsersOptions {
  readonly file: string;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  clock(): number;
}

interface KnownLogin {
  readonly digest: Buffer;
  readonly untilMs: number;
}

/** The users of one file. */
export class Users {
  readonly #options: UsersOptions;
  readonly #key = randomBytes(32);
  /** Logins that were right lately, by user. */
  readonly #known = new Map<string, KnownLogin>();
  /** Logins being checked, by digest of user and password. */
  readonly #checking = new Map<string, Promise<boolean>>();
  #hashes: ReadonlyMap<string, PasswordHash>;
  #version = '';
  #lookedAtMs: number;

  /** Reads the file. Throws an Error that names file and line when it cannot be used. */
  constructor(options: UsersOptions) {
    this.#options = options;
    this.#hashes = read(options);
    this.#lookedAtMs = options.clock();
  }

  /** Whether this is the user's password. Never rejects. */
  async check(user: string, password: string): Promise<boolean> {
    await this.#lookAgain();
    const hash = this.#hashes.get(user);
    const digest = this.#digest(user, password, hash);
    const known = this.#known.get(user);
    if (known !== undefined && known.untilMs > this.#options.clock() && timingSafeEqual(known.digest, digest)) return true;
    const key = digest.toString('base64');
    const running = this.#checking.get(key);
    if (running !== undefined) return await running;
    const { limits, meter } = this.#options;
    if (this.#checking.size >= limits.loginsPendingMax) {
      meter.add('limits_hit_total', ['loginsPendingMax']);
      return false;
    }
    const checking = this.#verify(user, password, hash, digest).finally(() => this.#checking.delete(key));
    this.#checking.set(key, checking);
    return await checking;
  }

  async #verify(user: string, password: string, hash: PasswordHash | undefined, digest: Buffer): Promise<boolean> {
    // A name that is not there costs as much as one that is.
    const [decoy] = this.#hashes.values();
    const against = hash ?? decoy;
    if (against === undefined) return false;
    try {
      const right = await verifyPassword(password, against);
      if (!right || hash === undefined) return false;
    } catch (caught) {
      this.#options.log.error({ err: caught }, 'a password could not be checked');
      return false;
    }
    this.#remember(user, digest);
    return true;
  }

  #remember(user: string, digest: Buffer): void {
    const { limits, clock } = this.#options;
    this.#known.delete(user);
    if (limits.loginCacheMax === 0 || limits.loginCacheMs === 0) return;
    this.#known.set(user, { digest, untilMs: clock() + limits.loginCacheMs });
    const [oldest] = this.#known.keys();
    if (this.#known.size > limits.loginCacheMax && oldest !== undefined) this.#known.delete(oldest);
  }

  /** Changes with the stored hash, so that a changed password is not remembered. */
  #digest(user: string, password: string, hash: PasswordHash | undefined): Buffer {
    return createHmac('sha256', this.#key).update(JSON.stringify([user, password, hash?.text ?? null])).digest();
  }

  /** A file that was changed to something unusable leaves the users as they were. */
  async #lookAgain(): Promise<void> {
    const { file, limits, log, clock } = this.#options;
    if (clock() - this.#lookedAtMs < limits.stateCheckMs) return;
    this.#lookedAtMs = clock();
    const version = await versionOf(file);
    if (version === this.#version) return;
    // Before it is read: a fault is told once, not at each look.
    this.#version = version;
    try {
      this.#hashes = read(this.#options);
    } catch (caught) {
      log.error({ err: caught }, 'the users file cannot be read; its users stay as they were');
    }
  }
}

function read({ file, limits }: UsersOptions): Map<string, PasswordHash> {
  const parsed = parseUsers(readFileSync(file, 'utf8'), limits.usersMax);
  if ('problem' in parsed) throw new Error(`${file}:${String(parsed.line)}: ${parsed.problem}`);
  return parsed.users;
}
