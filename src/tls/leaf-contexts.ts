// Secure contexts that answer clients: one for each leaf and class of answer, kept as long as the leaf. One more of each class waits without a
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

/** Contexts live as long as the leaf does in the certificate cache, which bounds them (identitiesMax). */
const made = new WeakMap<Leaf, Map<string, SecureContext>>();
const spares = new Map<string, Spare>();

/** The context for a leaf; made on first use. */
export function leafContext(leaf: Leaf, answers: AnswerClass, limits: Limits): SecureContext {
  const contexts = made.get(leaf) ?? new Map<string, SecureContext>();
  made.set(leaf, contexts);
  const key = `${answers.minVersion} ${answers.maxVersion} ${String(answers.strongest)}`;
  const known = contexts.get(key);
  if (known !== undefined) return known;
  const context = fromSpare(`${key} ${leaf.key} ${String(limits.ticketLifetimeMs)}`, leaf, answers, limits) ?? whole(leaf, answers, limits);
  contexts.set(key, context);
  return context;
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

/** Takes the spare of a class where its key is the leaf's, and has the next one made once this turn's work is done. */
function fromSpare(name: string, leaf: Leaf, answers: AnswerClass, limits: Limits): SecureContext | null {
  const spare = spares.get(name);
  spares.delete(name);
  setImmediate(() => {
    if (spares.size < limits.spareContextsMax) spares.set(name, { keyPem: leaf.keyPem, context: createSecureContext(common(leaf, answers, limits)) });
  });
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
