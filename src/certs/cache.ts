// Emulated identities: one leaf for each server certificate, key type, trust and issuer, made once however many flows ask for it at the
// same moment, held in a bounded cache. It never hands a leaf made for one certificate or outcome to a flow with another.

import { createHmac } from 'node:crypto';
import { FlowError } from '../core/errors.ts';
import type { Leaf, LeafKeyType, LeafRequest } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import type { Issuer } from './authority.ts';
import { draftLeaf, signLeaf } from './emulate.ts';
import type { IssuerAddresses } from './emulate.ts';
import type { IssuedRecord } from './issued.ts';
import type { LeafKeys } from './leaf-keys.ts';
import type { Ledger } from './ledger.ts';
import { pem } from './parts.ts';

/** What signs the leaves of one keyring name. */
export interface Signer {
  readonly issuer: Issuer;
  readonly addresses: IssuerAddresses;
  /** auto: as the request says. */
  readonly leafKey: 'auto' | LeafKeyType;
}

export interface LeafCacheOptions {
  /** The signer for a request; throws FlowError MINT_FAILED when there is no such keyring. */
  readonly signerFor: (request: LeafRequest) => Signer;
  readonly keys: LeafKeys;
  readonly ledger: Ledger;
  readonly issued: IssuedRecord;
  /** From which ticket keys are derived: the same in all processes of a gateway. */
  readonly secret: Buffer;
  /** A current OCSP response for a serial, null when stapling is off. */
  readonly staple: (issuer: Issuer, serial: Buffer) => Buffer | Promise<Buffer> | null;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly clock: () => number;
}

export interface LeafCache {
  certFor(request: LeafRequest): Promise<Leaf>;
  /** Drops leaves that the ledger lists and that are not to be kept; answers how many. */
  evictRevoked(): number;
  readonly size: number;
}

interface Held {
  readonly leaf: Leaf;
  readonly issuer: Issuer;
  /** When it gives way to a new one: keys age, and validity ends. */
  readonly renewAt: number;
  /** The host it names when it names no other, else null. */
  readonly onlyHost: string | null;
}

/** A place in the cache's order. */
interface Slot {
  readonly value: Held | typeof byHost;
  /** How many had been stored when it was last moved to the end. */
  movedAt: number;
}

/** Stands for an identity whose leaf names one host only: those are held one level down, by host. */
const byHost = Symbol('by host');

/** An empty cache. */
export function createLeafCache(options: LeafCacheOptions): LeafCache {
  const { limits, meter, ledger } = options;
  // Oldest first. A leaf that is used moves to the end, but not at every use: V8 keeps what is deleted from a map in its hash chain until it
  // rehashes, so that moving one busy leaf at each use makes its look-up 30 times slower. Only new leaves push old ones out: it is enough to
  // move once in a while, counted in those.
  const held = new Map<string, Slot>();
  const moveAfter = Math.floor(limits.identitiesMax / 8);
  let stored = 0;
  const minting = new Map<string, Promise<Held>>();

  const lookUp = (key: string): Held | typeof byHost | null => {
    const slot = held.get(key);
    if (slot === undefined) return null;
    const { value } = slot;
    if (value !== byHost && options.clock() >= value.renewAt) {
      held.delete(key);
      return null;
    }
    if (stored - slot.movedAt >= moveAfter) {
      held.delete(key);
      slot.movedAt = stored;
      held.set(key, slot);
    }
    return value;
  };
  const store = (key: string, value: Held | typeof byHost): void => {
    stored += 1;
    held.delete(key);
    held.set(key, { value, movedAt: stored });
    for (const oldest of held.keys()) {
      if (held.size <= limits.identitiesMax) break;
      held.delete(oldest);
    }
  };
  const mintOnce = (key: string, request: LeafRequest, signer: Signer): Promise<Held> => {
    const running = minting.get(key);
    if (running !== undefined) {
      meter.add('certificate_cache_total', ['wait']);
      return running;
    }
    if (minting.size >= limits.mintQueueMax) {
      meter.add('limits_hit_total', ['mintQueueMax']);
      throw new FlowError('MINT_QUEUE_FULL');
    }
    meter.add('certificate_cache_total', ['miss']);
    const started = mint(request, signer, options, minting.size === 0).then((minted) => {
      if (minted.onlyHost === null || key.endsWith(hostMark(request))) store(key, minted);
      else {
        store(key, byHost);
        store(key + hostMark(request), minted);
      }
      return minted;
    }).finally(() => minting.delete(key));
    minting.set(key, started);
    return started;
  };

  return {
    async certFor(asked) {
      const signer = options.signerFor(asked);
      const request = signer.leafKey === 'auto' || signer.leafKey === asked.key ? asked : { ...asked, key: signer.leafKey };
      const shared = sharedKey(request, signer.issuer);
      for (;;) {
        const found = lookUp(shared);
        const key = found === byHost ? shared + hostMark(request) : shared;
        const ready = found === byHost ? lookUp(key) : found;
        if (ready !== null && ready !== byHost) {
          meter.add('certificate_cache_total', ['hit']);
          return ready.leaf;
        }
        const minted = await mintOnce(key, request, signer);
        // Whoever waited for a flight that turned out to be for another host's name alone goes again.
        if (minted.onlyHost === null || minted.onlyHost === request.host) return minted.leaf;
      }
    },
    evictRevoked() {
      let count = 0;
      for (const [key, { value }] of held) {
        if (value === byHost || ledger.find(value.issuer.keyIdHex, value.leaf.serial)?.keep !== false) continue;
        held.delete(key);
        count += 1;
      }
      return count;
    },
    get size() {
      return held.size;
    },
  };
}

/** Everything a leaf depends on, save the host where there is a server's certificate. */
function sharedKey(request: LeafRequest, issuer: Issuer): string {
  const whom = request.upstreamFingerprint ?? hostMark(request);
  return `${request.key} ${request.trust} ${issuer.keyIdHex} ${whom}`;
}

const hostMark = (request: LeafRequest): string => ` host ${request.host ?? request.ip ?? ''}`;

async function mint(request: LeafRequest, { issuer, addresses }: Signer, options: LeafCacheOptions, alone: boolean): Promise<Held> {
  try {
    const { keys, limits, ledger, clock } = options;
    const key = await keys.current(request.key);
    const now = clock();
    const draft = draftLeaf(request, { issuer, addresses, key: key.publicKey, limits, now });
    const der = await signLeaf(draft, issuer, alone);
    const serial = draft.serial.toString('hex');
    const onlyHost = draft.forHostOnly && request.upstreamFingerprint !== null;
    const identity = sharedKey(request, issuer) + (onlyHost ? hostMark(request) : '');
    options.meter.add('certificates_issued_total', [request.key]);
    options.issued.note({
      serial, issuer: issuer.keyIdHex, identity, host: request.host ?? request.ip, names: draft.hostNames, upstream: request.upstreamFingerprint, at: now, notAfter: draft.notAfter,
    });
    const leaf: Leaf = {
      serial, key: request.key, mirrored: request.upstreamDer !== null,
      certPem: pem('CERTIFICATE', der) + issuer.chainPem, keyPem: key.pem,
      // A revoked identity's sessions end with it: its generation is part of the ticket keys.
      ticketKeys: createHmac('sha384', options.secret).update(`tickets ${ledger.generation(identity)} ${identity}`).digest(),
      staple: () => options.staple(issuer, draft.serial),
    };
    return { leaf, issuer, renewAt: renewAt(now, draft.notAfter, limits.leafKeyLifetimeMs), onlyHost: onlyHost ? request.host : null };
  } catch (error) {
    throw error instanceof FlowError ? error : new FlowError('MINT_FAILED', error instanceof Error ? error.message : null, error);
  }
}

/** Between half and the whole of the leaf keys' lifetime, so that old keys leave the cache gradually; never beyond the leaf's own end. */
function renewAt(now: number, notAfter: number, lifetimeMs: number): number {
  const aged = now + lifetimeMs * (0.5 + Math.random() / 2);
  return notAfter > now ? Math.min(aged, notAfter) : aged;
}
