// The key pairs of emulated leaves: one P-256 and one RSA-2048 per process, made in the thread pool at start and replaced in time.
// They are never the CA's key and never written to disk.

import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { LeafKeyType } from '../core/certificates.ts';
import { leafPublicKey } from './emulate.ts';
import type { LeafPublicKey } from './emulate.ts';

export interface LeafKey {
  readonly publicKey: LeafPublicKey;
  /** Private key, PKCS#8 PEM. */
  readonly pem: string;
}

export interface LeafKeys {
  /** The key to use now; waits only for the first one. */
  current(type: LeafKeyType): Promise<LeafKey>;
}

interface Slot {
  key: Promise<LeafKey>;
  madeAt: number;
  renewing: boolean;
}

const generate = promisify(generateKeyPair);
const rsaBits = 2048;

/** Starts making both keys. A key older than `lifetimeMs` is replaced in the background; what was issued with it expires on its own. */
export function startLeafKeys(lifetimeMs: number, clock: () => number): LeafKeys {
  const slot = (type: LeafKeyType): Slot => {
    const key = makeKey(type);
    // Whoever asks sees the failure; nobody asking is no reason to end the process.
    key.catch(() => undefined);
    return { key, madeAt: clock(), renewing: false };
  };
  const slots: Record<LeafKeyType, Slot> = { ec: slot('ec'), rsa: slot('rsa') };
  return {
    current(type) {
      const held = slots[type];
      if (clock() - held.madeAt > lifetimeMs && !held.renewing) renew(held, type, clock);
      return held.key;
    },
  };
}

function renew(slot: Slot, type: LeafKeyType, clock: () => number): void {
  slot.renewing = true;
  makeKey(type).then(
    (key) => {
      slot.key = Promise.resolve(key);
      slot.madeAt = clock();
    },
    () => undefined,
  ).finally(() => {
    slot.renewing = false;
  }).catch(() => undefined);
}

async function makeKey(type: LeafKeyType): Promise<LeafKey> {
  const { publicKey, privateKey } = type === 'rsa' ? await generate('rsa', { modulusLength: rsaBits }) : await generate('ec', { namedCurve: 'P-256' });
  return {
    publicKey: leafPublicKey(type, publicKey.export({ format: 'der', type: 'spki' })),
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}
