// The FILTER language of CONTRACT "Admin API", the same in API, CLI and console: `key=word,word & key=word`. Its words
// come from the tables of core, so that whatever a session shows can be asked for. Pure: no clock, no throw on input.

import { errorCodes } from '../core/errors.ts';
import { actions, sessionStates } from '../core/session.ts';
import type { Session } from '../core/session.ts';
import { protocolWords } from '../core/protocols.ts';
import { parseCidr } from './cidr.ts';
import { parseGlob } from './glob.ts';

type Match = (session: Session, nowMs: number) => boolean;

/** A parsed filter. */
export interface Filter {
  /** Whether a session is one of those asked for; `nowMs` is what `since` counts back from. */
  matches(session: Session, nowMs: number): boolean;
  /** The same filter as text, fit for a URL's query. Empty when everything matches. */
  readonly text: string;
}

/** Why a text is not a filter, with what would be right in its place. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
  /** The key at fault. */
  readonly key: string;
  /** The right words; empty where the right form is in the message. */
  readonly allowed: readonly string[];

  constructor(message: string, key: string, allowed: readonly string[] = []) {
    super(message);
    this.key = key;
    this.allowed = allowed;
  }
}

/** One key of the language: what it takes, and how a value becomes a match (null: the value is wrong). */
interface FilterKey {
  readonly about: string;
  /** The closed set of words, or null where values are free. */
  readonly words: readonly string[] | null;
  /** What a value looks like, for errors and the console. */
  readonly form: string;
  /** Whether a comma parts several values of which any may match. */
  readonly list: boolean;
  parse(value: string): Match | null;
}

const words = (about: string, set: readonly string[], value: (session: Session) => string | null): FilterKey => ({
  about, words: set, form: 'one or more of the words', list: true,
  parse: (word) => (set.includes(word) ? (session) => value(session) === word : null),
});
const glob = (about: string, value: (session: Session) => string | null): FilterKey => ({
  about, words: null, form: 'a name; * stands for any characters', list: true,
  parse: (pattern) => {
    const matches = parseGlob(pattern);
    return (session) => matches(value(session) ?? '');
  },
});
const cidr = (about: string, value: (session: Session) => string | null): FilterKey => ({
  about, words: null, form: 'an address or a range such as 10.0.0.0/8', list: true,
  parse: (text) => {
    const matches = parseCidr(text);
    return matches === null ? null : (session) => matches(value(session) ?? '');
  },
});

const filterTable = {
  protocol: {
    about: 'protocol shown, or a group of them', words: [...protocolWords.keys()], form: 'one or more of the words', list: true,
    parse: (word) => {
      const names = protocolWords.get(word);
      return names === undefined ? null : (session) => names.includes(session.protocol);
    },
  },
  state: words('whether it still runs, and how it ended', sessionStates, (session) => session.state),
  action: words('what the gateway does with it', actions, (session) => session.action),
  error: {
    ...words('code that ended it, or that became a tunnel', errorCodes, () => null),
    parse: (word) => ((errorCodes as readonly string[]).includes(word) ? (session) => session.error === word || session.tunnelledOnError === word : null),
  },
  client: cidr('client address', (session) => session.client.ip),
  destination: cidr('destination address', (session) => session.destination.ip),
  sni: glob('name the client asked for in TLS', (session) => session.sni),
  service: glob('service it came in by', (session) => session.service),
  rule: glob('rule that decided, stage/name', (session) => session.rule),
  user: glob('user who logged in', (session) => session.user),
  since: {
    about: 'began at most this long ago', words: null, form: 'a number with s, m, h or d, such as 10m', list: false,
    parse: (text) => {
      const spanMs = parseSpan(text);
      return spanMs === null ? null : (session, nowMs) => session.startedAt >= nowMs - spanMs;
    },
  },
  q: {
    about: 'text in any name, address, id, rule or error', words: null, form: 'a text', list: false,
    parse: (text) => {
      // A literal expression: three times as fast as lower-casing twenty fields of every session.
      const wanted = new RegExp(RegExp.escape(text), 'i');
      return (session) => containsText(session, wanted);
    },
  },
} as const satisfies Record<string, FilterKey>;

type KeyName = keyof typeof filterTable;
const keyNames = Object.keys(filterTable) as readonly KeyName[];

/** The language as data, for /api/protocols, the console and `--help`. */
export const filterKeys: readonly { key: string; about: string; form: string; list: boolean; words: readonly string[] | null }[] =
  keyNames.map((key) => {
    const { about, form, list, words: set } = filterTable[key];
    return { key, about, form, list, words: set };
  });

/**
 * Parses a filter. Different keys must all match; several values of one key, by comma or by repeating the key, are any of
 * them. As a text, pairs are parted by `&` (spaces around it are free) and values may be percent-encoded.
 */
export function parseFilter(source: string | URLSearchParams): Filter | FilterError {
  const pairs = typeof source === 'string' ? textPairs(source) : [...source];
  const matchers = new Map<KeyName, Match[]>();
  const written: string[] = [];
  for (const [key, value] of pairs) {
    if (!isKey(key)) return new FilterError(`There is no filter "${shown(key)}"; filters are ${keyNames.join(', ')}.`, shown(key), keyNames);
    const found = parseValues(key, value);
    if (found instanceof FilterError) return found;
    matchers.set(key, [...(matchers.get(key) ?? []), ...found]);
    written.push(`${key}=${encodeURIComponent(value.trim())}`);
  }
  const all = [...matchers.values()].map((any): Match => {
    const [first, ...rest] = any;
    return first !== undefined && rest.length === 0 ? first : (session, nowMs) => any.some((match) => match(session, nowMs));
  });
  return { text: written.join('&'), matches: (session, nowMs) => all.every((match) => match(session, nowMs)) };
}

function parseValues(name: KeyName, value: string): Match[] | FilterError {
  const key: FilterKey = filterTable[name];
  const parts = key.list ? value.split(',').map((part) => part.trim()) : [value.trim()];
  const matches: Match[] = [];
  for (const part of parts) {
    const match = part === '' ? null : key.parse(part);
    if (match === null) {
      const right = key.words === null ? `it takes ${key.form}` : `it takes ${key.words.join(', ')}`;
      const fault = part === '' ? `The filter ${name} has an empty value` : `The filter ${name} does not know "${shown(part)}"`;
      return new FilterError(`${fault}; ${right}.`, name, key.words ?? []);
    }
    matches.push(match);
  }
  return matches;
}

function isKey(word: string): word is KeyName {
  return Object.hasOwn(filterTable, word);
}

function textPairs(text: string): [string, string][] {
  const pairs: [string, string][] = [];
  for (const part of text.split('&')) {
    const pair = part.trim();
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 0) pairs.push([pair, '']);
    else pairs.push([pair.slice(0, equals).trim(), decoded(pair.slice(equals + 1))]);
  }
  return pairs;
}

function decoded(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** What an error message repeats of a wrong word: short, and free of control characters. */
function shown(word: string): string {
  const short = word.length > 60 ? `${word.slice(0, 60)}...` : word;
  return short.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?');
}

const spanUnitsMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function parseSpan(text: string): number | null {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  const unitMs = spanUnitsMs[match?.[2] ?? ''];
  return match === null || unitMs === undefined ? null : Number(match[1]) * unitMs;
}

function containsText(session: Session, wanted: RegExp): boolean {
  const has = (text: string | null | undefined): boolean => text !== null && text !== undefined && wanted.test(text);
  const { http, sip, turn } = session.details;
  return has(session.sni) || has(session.destination.host) || has(session.destination.ip) || has(session.client.ip) || has(session.id)
    || has(session.rule) || has(session.user) || has(session.service) || has(session.protocol) || has(session.error)
    || has(session.tunnelledOnError) || has(session.errorDetail) || has(session.note) || has(session.ja4) || has(session.ja3)
    || has(session.action) || has(http?.host) || has(http?.method)
    || (sip !== undefined && (sip.registrations.some((row) => has(row.aor) || has(row.userAgent)) || sip.dialogs.some((row) => has(row.callId))))
    || (turn !== undefined && turn.allocations.some((row) => has(row.relayed) || has(row.user) || has(row.realm)));
}
