// Reads a question to `explain`: the same words from the command line and from the API. It checks every word against the lists
// it comes from and says the right ones; it judges nothing.

import { isIP } from 'node:net';
import { parseAddress } from '../core/addresses.ts';
import { certificateProblems } from '../core/certificates.ts';
import type { CertificateProblem } from '../core/certificates.ts';
import { addressMatches } from '../core/session.ts';
import type { Destination, Session } from '../core/session.ts';
import type { HttpFacts, SipFacts, TurnFacts } from '../core/verdicts.ts';
import { protocolNames } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { nobody } from './facts.ts';
import type { ServiceSettings, TlsState } from './rules.ts';

/** The keys of a question and what each means; the command's options are these. */
export const questionKeys = {
  dst: 'destination, IP:PORT or HOST:PORT (needed)',
  client: 'client address (default 192.0.2.1)',
  service: 'name of the service (default: the first ssl service, else the first)',
  user: 'user name',
  time: 'when the session began, such as 2026-03-01T09:30 (default: now)',
  sni: 'server name in the ClientHello',
  alpn: 'ALPN name offered; may be repeated',
  ja4: 'JA4 fingerprint of the ClientHello',
  address: 'whether the address dialled is one of the name\'s (SNI, else host): named, other or unresolved',
  tls: 'none for a flow that is not TLS (default: TLS, unless the protocol is plain)',
  protocol: 'what is spoken, inside TLS where that is opened (default: what the other facts suggest, else unknown)',
  problem: 'problem of the server\'s certificate; may be repeated',
  method: 'method of an HTTP or SIP request',
  host: 'host of an HTTP request',
  path: 'path of an HTTP request',
  header: 'name of an HTTP header field that is present; may be repeated',
  upgrade: 'protocol of the Upgrade field',
  from: 'SIP From address',
  to: 'SIP To address',
  agent: 'SIP User-Agent',
  message: 'TURN or STUN message type',
  peer: 'TURN peer address',
} as const;

export type QuestionKey = keyof typeof questionKeys;

/** Keys that may carry several values. */
export const repeatedKeys: readonly QuestionKey[] = ['alpn', 'problem', 'header'];

/** A flow as a question describes it. */
export interface ExplainFacts {
  readonly session: Session;
  /** False: not TLS at all. */
  readonly tls: boolean;
  /** Null: not said. */
  readonly protocol: ProtocolName | null;
  readonly problems: readonly CertificateProblem[];
  readonly http: HttpFacts | null;
  readonly sip: SipFacts | null;
  readonly turn: TurnFacts | null;
}

type Answer<T> = { readonly ok: true; readonly facts: T } | { readonly ok: false; readonly problem: string };

/** Reads a question (an object of texts and lists of texts). `nowMs` stands in for a time that is not given. */
export function readQuestion(question: unknown, services: ReadonlyMap<string, ServiceSettings>, nowMs: number): Answer<ExplainFacts> {
  const words = readWords(question);
  if (typeof words === 'string') return { ok: false, problem: words };
  const one = (key: QuestionKey): string | null => words.get(key)?.[0] ?? null;
  const many = (key: QuestionKey): readonly string[] => words.get(key) ?? [];
  const destination = readDestination(one('dst') ?? '');
  if (destination === null) return { ok: false, problem: `dst: expected IP:PORT or HOST:PORT, such as 203.0.113.9:443 or [2001:db8::1]:5061${one('dst') === null ? '' : `; found ${one('dst')}`}` };
  const problem = wordProblem(words, services);
  if (problem !== null) return { ok: false, problem };
  const startedAt = one('time') === null ? nowMs : Date.parse(one('time') ?? '');
  if (Number.isNaN(startedAt)) return { ok: false, problem: `time: expected a date and time such as 2026-03-01T09:30; found ${one('time')}` };
  const protocol = protocolNames.find((name) => name === one('protocol')) ?? null;
  const service = one('service') ?? defaultService(services);
  const session: Session = { ...nobody, id: 'explain', service, client: { ip: one('client') ?? documentationClient, port: 0 }, destination, startedAt, sni: one('sni'), alpn: many('alpn'), ja4: one('ja4'), user: one('user'), ...claimOf(one) };
  const sip = readSip(one, protocol);
  return {
    ok: true,
    facts: {
      session,
      tls: one('tls') === null ? !plainProtocols.includes(protocol ?? 'pending') : one('tls') !== 'none',
      protocol,
      problems: certificateProblems.filter((name) => many('problem').includes(name)),
      http: sip === null ? readHttp(one, many('header')) : null,
      sip,
      turn: one('message') === null && one('peer') === null ? null : { message: one('message') ?? '', peer: one('peer') },
    },
  };
}

/** RFC 5737: an address that is nobody's. */
const documentationClient = '192.0.2.1';
const plainProtocols: readonly ProtocolName[] = ['http', 'sip', 'turn'];
const sipProtocols: readonly (ProtocolName | null)[] = ['sip', 'sips'];

function readWords(question: unknown): Map<string, readonly string[]> | string {
  if (typeof question !== 'object' || question === null || Array.isArray(question)) return 'expected an object of facts, such as {"dst": "203.0.113.9:443", "sni": "www.example.com"}';
  const words = new Map<string, readonly string[]>();
  for (const [key, value] of Object.entries(question)) {
    if (value === undefined) continue;
    const list: unknown[] = Array.isArray(value) ? value : [value];
    const texts = list.filter((item) => typeof item === 'string');
    if (!Object.hasOwn(questionKeys, key)) return `unknown fact ${key}; known: ${Object.keys(questionKeys).join(', ')}`;
    if (texts.length !== list.length) return `${key}: expected a text${repeats(key) ? ' or a list of texts' : ''}`;
    if (texts.length > 1 && !repeats(key)) return `${key}: expected one value`;
    words.set(key, texts);
  }
  return words;
}

function repeats(key: string): boolean {
  const keys: readonly string[] = repeatedKeys;
  return keys.includes(key);
}

/** What is wrong with a word that comes from a closed list, or null. */
function wordProblem(words: ReadonlyMap<string, readonly string[]>, services: ReadonlyMap<string, ServiceSettings>): string | null {
  const tlsWords: readonly (TlsState | 'yes')[] = ['none', 'yes', 'intercepted', 'tunnelled'];
  const lists: readonly [QuestionKey, readonly string[]][] = [['protocol', protocolNames], ['problem', certificateProblems], ['tls', tlsWords], ['address', addressMatches], ['service', [...services.keys()]]];
  for (const [key, known] of lists) {
    const wrong = words.get(key)?.find((word) => !known.includes(word));
    if (wrong !== undefined) return `${key}: there is no ${JSON.stringify(wrong)}; known: ${known.join(', ')}`;
  }
  for (const key of ['client', 'peer']) {
    const text = words.get(key)?.[0];
    if (text !== undefined && parseAddress(text) === undefined) return `${key}: expected an address; found ${text}`;
  }
  return null;
}

function readDestination(text: string): Destination | null {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(portText);
  if (host === undefined || port < 1 || port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) return null;
  return isIP(host) === 0 ? { ip: null, port, host } : { ip: host, port, host: null };
}

function defaultService(services: ReadonlyMap<string, ServiceSettings>): string {
  const entries = [...services];
  return (entries.find(([, { type }]) => type === 'ssl') ?? entries[0])?.[0] ?? '';
}

function claimOf(one: (key: QuestionKey) => string | null): Pick<Session, 'claim'> {
  const address = addressMatches.find((word) => word === one('address'));
  return address === undefined ? {} : { claim: { name: one('sni') ?? one('host') ?? '', address } };
}

function readHttp(one: (key: QuestionKey) => string | null, headers: readonly string[]): HttpFacts | null {
  const said = [one('method'), one('host'), one('path'), one('upgrade')].some((text) => text !== null) || headers.length > 0;
  if (!said) return null;
  return { method: one('method') ?? 'GET', host: one('host') ?? one('sni'), path: one('path') ?? '/', headers: new Set(headers.map((name) => name.toLowerCase())), upgrade: one('upgrade') };
}

/** A method alone is HTTP's, unless the protocol says SIP. */
function readSip(one: (key: QuestionKey) => string | null, protocol: ProtocolName | null): SipFacts | null {
  const said = [one('from'), one('to'), one('agent')].some((text) => text !== null) || (sipProtocols.includes(protocol) && one('method') !== null);
  return said ? { method: one('method') ?? 'INVITE', from: one('from'), to: one('to'), agent: one('agent') } : null;
}
