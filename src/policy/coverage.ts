// What can be said of rules without traffic: whether a rule may match given a few known facts, and whether one rule takes
// everything another asks for. Answers err on the side of "maybe" and "no": a warning must be right.

import { networkCovers, parseNetwork } from '../core/addresses.ts';
import type { ConditionKey, Conditions, Rule, TlsState, When } from './rules.ts';
import { namesOf } from './settings.ts';
import { foldHost, matchesPattern } from './text.ts';

/** Facts known beforehand; all others are open. */
export interface KnownFacts {
  readonly service: string;
  readonly protocol?: string;
  readonly tls?: TlsState;
}

export type Certainty = 'yes' | 'maybe' | 'no';

/** Whether a rule matches flows with these facts. */
export function mayMatch(when: When | undefined, known: KnownFacts): Certainty {
  if (when === undefined) return 'yes';
  const { not, ...plain } = when;
  const held = allHold(plain, known);
  if (held === 'no' || not === undefined) return held;
  const excluded = allHold(not, known);
  if (excluded === 'yes') return 'no';
  return held === 'yes' && excluded === 'no' ? 'yes' : 'maybe';
}

function allHold(conditions: Conditions, known: KnownFacts): Certainty {
  let result: Certainty = 'yes';
  for (const key of writtenKeys(conditions)) {
    const one = holds(key, conditions, known);
    if (one === 'no') return 'no';
    if (one === 'maybe') result = 'maybe';
  }
  return result;
}

function holds(key: ConditionKey, conditions: Conditions, known: KnownFacts): Certainty {
  const sure = (yes: boolean | undefined): Certainty => (yes === true ? 'yes' : 'no');
  if (key === 'service') return sure(conditions.service?.includes(known.service));
  if (key === 'tls' && known.tls !== undefined) return sure(conditions.tls?.includes(known.tls));
  if (key === 'protocol' && known.protocol !== undefined) {
    const names: ReadonlySet<string> = namesOf(conditions.protocol ?? []);
    return sure(names.has(known.protocol));
  }
  return 'maybe';
}

/** Keys of conditions that have values. */
export function writtenKeys(conditions: Conditions): ConditionKey[] {
  return allKeys.filter((key) => conditions[key] !== undefined);
}

const allKeys: readonly ConditionKey[] = ['client', 'destination', 'port', 'service', 'user', 'time', 'sni', 'alpn', 'ja4', 'address', 'file', 'problem', 'name', 'protocol', 'tls',
  'method', 'host', 'path', 'header', 'upgrade', 'from', 'to', 'agent', 'message', 'peer'];

/** Whether a rule matches whatever comes. */
export function isUnconditional(rule: Rule): boolean {
  return rule.when === undefined || (writtenKeys(rule.when).length === 0 && rule.when.not === undefined);
}

/** Whether `earlier` matches every flow that `later` matches. */
export function ruleCovers(earlier: Rule, later: Rule): boolean {
  if (earlier.then === 'accept' || earlier.then === 'mirror-untrusted') {
    // Such rules pass over `invalid`, and an accepting one over every problem it does not list.
    if (later.then !== earlier.then) return false;
  } else if (later.then === 'accept' && earlier.when?.problem !== undefined && later.when?.problem === undefined) return false;
  if (earlier.when?.not !== undefined && JSON.stringify(earlier.when.not) !== JSON.stringify(later.when?.not)) return false;
  return conditionsCover(earlier.when ?? {}, later.when ?? {});
}

/** Whether `inner` can only hold where `outer` does. */
export function conditionsCover(outer: Conditions, inner: Conditions): boolean {
  return writtenKeys(outer).every((key) => {
    const wide = outer[key] ?? [];
    const narrow = inner[key];
    return narrow !== undefined && narrow.every((value) => wide.some((candidate) => valueCovers(key, String(candidate), String(value))) || (key === 'protocol' && namesCover(wide.map(String), String(value))));
  });
}

function namesCover(words: readonly string[], word: string): boolean {
  const names = namesOf(words);
  return [...namesOf([word])].every((name) => names.has(name));
}

function valueCovers(key: ConditionKey, wide: string, narrow: string): boolean {
  if (wide === narrow) return true;
  switch (key) {
    case 'client':
    case 'peer':
      return networkTextCovers(wide, narrow);
    case 'destination':
      return networkTextCovers(wide, narrow) || (parseNetwork(wide) === undefined && hostCovers(wide, narrow));
    case 'port':
      return portRange(wide).low <= portRange(narrow).low && portRange(narrow).high <= portRange(wide).high;
    case 'sni':
    case 'name':
    case 'host':
      return hostCovers(wide, narrow);
    case 'path':
      return patternCovers(wide, narrow);
    case 'address':
    case 'service':
    case 'time':
    case 'file':
    case 'problem':
    case 'protocol':
    case 'tls':
      return false;
    default:
      return patternCovers(wide.toLowerCase(), narrow.toLowerCase());
  }
}

function networkTextCovers(wide: string, narrow: string): boolean {
  const outer = parseNetwork(wide);
  const inner = parseNetwork(narrow);
  return outer !== undefined && inner !== undefined && networkCovers(outer, inner);
}

function portRange(text: string): { low: number; high: number } {
  const [low = '', high = low] = text.split('-');
  return { low: Number(low), high: Number(high) };
}

function hostCovers(wide: string, narrow: string): boolean {
  const outer = foldHost(wide);
  const inner = foldHost(narrow);
  if (outer.startsWith('.')) return inner === outer.slice(1) || inner.endsWith(outer);
  return !(inner.startsWith('.') && outer !== '*') && patternCovers(outer, inner);
}

/** A `*` of the wide pattern takes whatever the narrow one has there; a `?` would not, so such patterns cover nothing else. */
function patternCovers(wide: string, narrow: string): boolean {
  return !wide.includes('?') && matchesPattern(wide, narrow);
}
