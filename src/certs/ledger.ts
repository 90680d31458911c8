// The ledger of revoked serial numbers: one file in the state folder, written whole, read again by every process when it changes.
// It says what is revoked; CRL, OCSP and the cache of leaves follow it.

import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createFile, fileMark, isErrno, makeFolder, readIfThere, replaceFile } from './files.ts';

/** One revoked leaf. */
export interface RevokedEntry {
  /** Lower-case hex. */
  readonly serial: string;
  /** Key identifier of the issuer, lower-case hex. */
  readonly issuer: string;
  /** When it was revoked, and until when it must be listed; milliseconds since the epoch. */
  readonly at: number;
  readonly until: number;
  /** CRLReason of RFC 5280 section 5.3.1; 0 (unspecified) is not written. */
  readonly reason: number;
  /** Go on serving it, so that clients' reaction can be seen. */
  readonly keep: boolean;
  /** The identity it stood for (see cache.ts), null when unknown: sessions of it must not be resumed. */
  readonly identity: string | null;
}

export interface Ledger {
  /** Entries of one issuer that must still be listed at `now`. */
  listed(issuer: string, now: number): readonly RevokedEntry[];
  find(issuer: string, serial: string): RevokedEntry | null;
  /** How often an identity was revoked. */
  generation(identity: string): number;
  /** Adds entries (known serials are replaced), under a lock that other processes respect. Rejects with LedgerFullError. */
  revoke(entries: readonly RevokedEntry[]): Promise<void>;
  /** Reads the file again if it has changed; true when it had. */
  reload(): Promise<boolean>;
}

/** The ledger holds as many serials as revokedMax allows. */
export class LedgerFullError extends Error {
  override readonly name = 'LedgerFullError';
}

const fileName = 'revoked.json';
const lockRetryMs = 20;
const lockTriesMax = 250;

/** Opens the ledger of a state folder. A file that cannot be read is an error: forgetting revocations in silence would be worse. */
export async function openLedger(stateDir: string, revokedMax: number): Promise<Ledger> {
  const file = join(stateDir, fileName);
  let mark: string | null = null;
  let bySerial = new Map<string, RevokedEntry>();
  let byIdentity = new Map<string, number>();

  const take = (entries: readonly RevokedEntry[]): void => {
    bySerial = new Map(entries.map((entry) => [`${entry.issuer} ${entry.serial}`, entry]));
    byIdentity = new Map();
    for (const { identity } of bySerial.values()) if (identity !== null) byIdentity.set(identity, (byIdentity.get(identity) ?? 0) + 1);
  };
  const reload = async (): Promise<boolean> => {
    const seen = await fileMark(file);
    if (seen === mark) return false;
    take(parse(await readIfThere(file), file));
    mark = seen;
    return true;
  };
  await reload();
  return {
    listed: (issuer, now) => [...bySerial.values()].filter((entry) => entry.issuer === issuer && entry.until > now),
    find: (issuer, serial) => bySerial.get(`${issuer} ${serial}`) ?? null,
    generation: (identity) => byIdentity.get(identity) ?? 0,
    reload,
    revoke: (added) => locked(file, async () => {
      await reload();
      const all = new Map([...bySerial, ...added.map((entry): [string, RevokedEntry] => [`${entry.issuer} ${entry.serial}`, entry])]);
      if (all.size > revokedMax) throw new LedgerFullError(`the ledger holds ${bySerial.size} serials; limits.revokedMax is ${revokedMax}`);
      await replaceFile(file, `${JSON.stringify({ version: 1, revoked: [...all.values()] }, null, 1)}\n`);
      await reload();
    }),
  };
}

/** Runs `work` while holding a lock file; one left behind by a process that died is taken over. */
async function locked(file: string, work: () => Promise<void>): Promise<void> {
  const lock = `${file}.lock`;
  await makeFolder(join(file, '..'));
  for (let tries = 0; !(await createFile(lock, `${process.pid}\n`)); tries += 1) {
    const owner = Number((await readIfThere(lock))?.toString());
    if (tries > lockTriesMax || (owner > 0 && !isAlive(owner))) await unlink(lock).catch(() => undefined);
    await wait(lockRetryMs);
  }
  try {
    await work();
  } finally {
    await unlink(lock).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}

function parse(content: Buffer | null, file: string): RevokedEntry[] {
  if (content === null) return [];
  let value: unknown;
  try {
    value = JSON.parse(content.toString());
  } catch (error) {
    throw new Error(`${file}: is not JSON; restore it, or move it away to forget all revocations`, { cause: error });
  }
  const list: unknown = isRecord(value) ? value['revoked'] : null;
  if (!Array.isArray(list) || !list.every(isEntry)) throw new Error(`${file}: is not a ledger of revoked serials; restore it, or move it away to forget all revocations`);
  return list;
}

function isEntry(value: unknown): value is RevokedEntry {
  return isRecord(value) && isHex(value['serial']) && isHex(value['issuer']) && isTime(value['at']) && isTime(value['until'])
    && typeof value['reason'] === 'number' && Number.isInteger(value['reason']) && value['reason'] >= 0 && value['reason'] <= 10
    && typeof value['keep'] === 'boolean' && (value['identity'] === null || typeof value['identity'] === 'string');
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isHex = (value: unknown): boolean => typeof value === 'string' && /^(?:[0-9a-f]{2}){1,20}$/.test(value);
const isTime = (value: unknown): boolean => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
