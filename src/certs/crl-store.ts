// Keeps the current list of each issuer in the state folder: the primary process signs it (at start, daily, when the ledger changes) under a
// number that only grows; every other process reads it. A list that cannot be renewed goes on being served.

import { join } from 'node:path';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import type { Issuer } from './authority.ts';
import { buildCrl, readCrl } from './crl.ts';
import type { CrlFacts } from './crl.ts';
import { fileMark, makeFolder, readIfThere, replaceFile } from './files.ts';
import type { Ledger } from './ledger.ts';

/** A list ready to be served. */
export interface CurrentCrl extends CrlFacts {
  readonly der: Buffer;
}

export interface CrlStoreOptions {
  readonly stateDir: string;
  readonly issuers: readonly Issuer[];
  readonly days: number;
  /** Signs and numbers; true in one process of a gateway. */
  readonly primary: boolean;
  readonly ledger: Ledger;
  readonly meter: Meter;
  readonly log: Logger;
  readonly clock: () => number;
}

export interface CrlStore {
  current(issuer: Issuer): CurrentCrl | null;
  /** Signs what is due (all, when `force`) or reads what the primary has signed. Never rejects: a failure is logged and the old list stays. */
  refresh(force?: boolean): Promise<void>;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Clocks of clients are behind: a list from the future is refused. */
const backDatedMs = 2 * hourMs;
const resignMs = dayMs;

/** Opens the store and signs (primary) or reads what there is. */
export async function openCrlStore(options: CrlStoreOptions): Promise<CrlStore> {
  const folder = join(options.stateDir, 'crl');
  await makeFolder(folder);
  const held = new Map<string, CurrentCrl & { readonly mark: string | null; readonly signedAt: number }>();

  const sign = async (issuer: Issuer): Promise<void> => {
    const now = options.clock();
    const numberFile = join(folder, `${issuer.keyIdHex}.number`);
    const file = join(folder, `${issuer.keyIdHex}.crl`);
    const number = nextNumber(await readIfThere(numberFile), await readIfThere(file), now);
    // The number is spent before it is used: a crash in between leaves a gap, never a repetition.
    await replaceFile(numberFile, `${number}\n`);
    const der = buildCrl(issuer, {
      number, thisUpdate: now - backDatedMs, nextUpdate: now + options.days * dayMs, nextPublish: now + resignMs,
      revoked: options.ledger.listed(issuer.keyIdHex, now),
    });
    await replaceFile(file, der, 0o644);
    hold(issuer, der, await fileMark(file), now);
  };
  const read = async (issuer: Issuer): Promise<void> => {
    const file = join(folder, `${issuer.keyIdHex}.crl`);
    const mark = await fileMark(file);
    if (mark === null || mark === held.get(issuer.keyIdHex)?.mark) return;
    const der = await readIfThere(file);
    if (der !== null) hold(issuer, der, mark, options.clock());
  };
  const hold = (issuer: Issuer, der: Buffer, mark: string | null, signedAt: number): void => {
    const facts = readCrl(der);
    if (facts === null) throw new Error(`crl/${issuer.keyIdHex}.crl is not a CRL`);
    held.set(issuer.keyIdHex, { ...facts, der, mark, signedAt });
    options.meter.set('crl_next_update_timestamp_seconds', [issuer.name], Math.floor(facts.nextUpdate / 1000));
  };
  const refreshOne = async (issuer: Issuer, force: boolean): Promise<void> => {
    try {
      const signedAt = held.get(issuer.keyIdHex)?.signedAt;
      if (!options.primary) await read(issuer);
      else if (force || signedAt === undefined || Math.abs(options.clock() - signedAt) >= resignMs) await sign(issuer);
    } catch (error) {
      options.log.error({ err: error, issuer: issuer.name }, 'the CRL could not be renewed; the old one is still served');
    }
  };
  // One at a time: two runs at once would use one number twice.
  let running = Promise.resolve();
  const refresh = (force = false): Promise<void> => {
    running = running.then(async () => {
      for (const issuer of options.issuers) if (issuer.signsCrls) await refreshOne(issuer, force);
    });
    return running;
  };
  if (options.primary) await keepOldLists(options.issuers, read);
  await refresh(options.primary);
  return { current: (issuer) => held.get(issuer.keyIdHex) ?? null, refresh };
}

/** At start the last list is read first, so that there is something to serve should signing fail. */
async function keepOldLists(issuers: readonly Issuer[], read: (issuer: Issuer) => Promise<void>): Promise<void> {
  for (const issuer of issuers) await read(issuer).catch(() => undefined);
}

/** Greater than every number used before; gateways that share an issuer stay comparable because seconds are the floor. */
function nextNumber(kept: Buffer | null, lastList: Buffer | null, now: number): number {
  const last = Number(kept?.toString().trim() ?? '0');
  const listed = lastList === null ? 0 : (readCrl(lastList)?.number ?? 0);
  return Math.max((Number.isSafeInteger(last) ? last : 0) + 1, listed + 1, Math.floor(now / 1000));
}
