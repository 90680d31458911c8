// Secure contexts that answer clients: one for each leaf and class of answer, the ones used last kept. One more of each class waits without a
// certificate, made when nobody waited for it, so that a name never met before costs its client less. No byte is read or sent here.

import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Leaf, TlsVersion } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import { suitesToAccept } from './suites.ts';
import type { SuiteStrength } from './suites.ts';

/** What clients of one context are answered with, at the least and at the most. */
export interface AnswerClass {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly strongest: SuiteStrength;
}

/** A context that lacks only what differs between leaves. */
interface Spare {
  readonly keyPem: string;
  readonly context: SecureContext;
}

/** A context with its place among those of its leaf, and when it moved to the end, counted in contexts made. */
interface Made {
  readonly context: SecureContext;
  readonly key: string;
  readonly of: Map<string, Made>;
  movedAt: number;
}

const made = new WeakMap<Leaf, Map<string, Made>>();
/**
 * All of them, those used last at the end; bounded by leafContextsMax. A leaf is small beside its context, and many more are held. What is used
 * moves once in a while, as in certs/cache.ts and for its reason: moving a busy one at each use makes V8's set slow.
 */
const byUse = new Set<Made>();
let madeCount = 0;
const spares = new Map<string, Spare>();

/** The context for a leaf; made on first use, and again after it was dropped: its ticket keys are the leaf's, so that clients resume all the same. */
export function leafContext(leaf: Leaf, answers: AnswerClass, limits: Limits): SecureContext {
  const key = `${answers.minVersion} ${answers.maxVersion} ${String(answers.strongest)} ${String(limits.ticketLifetimeMs)}`;
  const of = made.get(leaf) ?? new Map<string, Made>();
  made.set(leaf, of);
  const known = of.get(key);
  if (known !== undefined) {
    if (madeCount - known.movedAt >= Math.floor(limits.leafContextsMax / 8)) {
      byUse.delete(known);
      known.movedAt = madeCount;
      byUse.add(known);
    }
    return known.context;
  }
  const spareName = `${key} ${leaf.key}`;
  const context = fromSpare(spareName, leaf) ?? whole(leaf, answers, limits);
  madeCount += 1;
  const one = { context, key, of, movedAt: madeCount };
  of.set(key, one);
  byUse.add(one);
  makeSpareLater(spareName, leaf, answers, limits);
  for (const oldest of byUse) {
    if (byUse.size <= limits.leafContextsMax) break;
    byUse.delete(oldest);
    oldest.of.delete(oldest.key);
    release(oldest.context);
  }
  return context;
}

/**
 * V8 sees nothing of the 27 KiB behind a context and would collect it late: OpenSSL's part goes now, or with the last connection that uses it.
 * Whoever asked for it has made a connection of it in the same turn.
 */
function release(context: SecureContext): void {
  const native: unknown = context.context;
  if (typeof native === 'object' && native !== null && 'close' in native && typeof native.close === 'function') native.close();
}

/** How many wait, for tests. */
export function spareContexts(): number {
  return spares.size;
}

function whole(leaf: Leaf, answers: AnswerClass, limits: Limits): SecureContext {
  return createSecureContext({ ...common(leaf, answers, limits), cert: leaf.certPem, ticketKeys: leaf.ticketKeys });
}

function common({ key, keyPem }: Leaf, { minVersion, maxVersion, strongest }: AnswerClass, limits: Limits): Parameters<typeof createSecureContext>[0] {
  return { key: keyPem, minVersion, maxVersion, sessionTimeout: Math.round(limits.ticketLifetimeMs / 1000), ...suitesToAccept(minVersion, strongest, key) };
}

/** Has a spare of a class made once this turn's work is done, unless one waits by then; the class that got one longest ago makes room. */
function makeSpareLater(name: string, leaf: Leaf, answers: AnswerClass, limits: Limits): void {
  setImmediate(() => {
    if (limits.spareContextsMax === 0 || spares.get(name)?.keyPem === leaf.keyPem) return;
    spares.delete(name);
    spares.set(name, { keyPem: leaf.keyPem, context: createSecureContext(common(leaf, answers, limits)) });
    for (const oldest of spares.keys()) {
      if (spares.size <= limits.spareContextsMax) break;
      spares.delete(oldest);
    }
  });
}

/** Takes the spare of a class where its key is the leaf's. */
function fromSpare(name: string, leaf: Leaf): SecureContext | null {
  const spare = spares.get(name);
  spares.delete(name);
  if (spare === undefined || spare.keyPem !== leaf.keyPem) return null;
  const native: unknown = spare.context.context;
  if (!isCompletable(native)) return null;
  native.setCert(leaf.certPem);
  native.setTicketKeys(leaf.ticketKeys);
  return spare.context;
}

/** Node 24: what createSecureContext calls for `cert` and `ticketKeys`; pinned by leaf-contexts.test.ts. Without it there are no spares. */
interface Completable {
  setCert(pem: string): void;
  setTicketKeys(keys: Buffer): void;
}

function isCompletable(value: unknown): value is Completable {
  return typeof value === 'object' && value !== null && 'setCert' in value && typeof value.setCert === 'function' && 'setTicketKeys' in value && typeof value.setTicketKeys === 'function';
}
