// The names, groups and over-TLS names of every protocol the gateway can show. This is the only list of protocols:
// policy words, session filters, metric labels, docs and the detection order all come from it.

/** One row: how a protocol is called plain and inside TLS that we opened, and which groups it belongs to. */
interface ProtocolRow {
  /** Name shown when the protocol runs without TLS of ours around it. */
  readonly plain: string;
  /** Name shown inside intercepted TLS. */
  readonly overTls: string;
  /** Words of policy and filters that stand for this row's names. */
  readonly groups: readonly string[];
  /** One line for docs/protocols.md and /api/protocols. */
  readonly about: string;
}

/** Detected protocols in the order in which detection asks them. Keys are the words of `detect` switches. */
export const protocolRows = {
  'ms-turn': { plain: 'ms-turn', overTls: 'ms-turn', groups: ['turn-any'], about: 'MS-TURN behind pseudo-TLS, or bare framed (MS-TURN 2.1)' },
  ssltcp: { plain: 'ssltcp', overTls: 'ssltcp', groups: ['turn-any'], about: 'libjingle pseudo-TLS, then framed STUN and TURN' },
  tls: { plain: 'tls', overTls: 'tls', groups: ['tls-any'], about: 'TLS; as a session protocol: tunnelled, not opened' },
  h2: { plain: 'h2', overTls: 'h2', groups: ['http-any', 'https'], about: 'HTTP/2 (RFC 9113)' },
  http: { plain: 'http', overTls: 'https', groups: ['http-any'], about: 'HTTP/1 (RFC 9112); https is HTTP/1 inside TLS' },
  sip: { plain: 'sip', overTls: 'sips', groups: ['sip-any'], about: 'SIP (RFC 3261) and MS-SIP; sips is SIP inside TLS' },
  turn: { plain: 'turn', overTls: 'turns', groups: ['turn-any'], about: 'TURN and STUN over TCP (RFC 8656); turns is the same inside TLS' },
} as const satisfies Record<string, ProtocolRow>;

/** A row of the table: what a detector finds, whatever surrounds it. */
export type DetectedName = keyof typeof protocolRows;
/** Names for sessions whose protocol is not one of the rows. */
export const protocolStates = {
  unknown: 'detection looked and knew nothing',
  undetected: 'detection was off',
  pending: 'not decided yet',
} as const;
type RowNames = { [K in DetectedName]: (typeof protocolRows)[K]['plain' | 'overTls'] }[DetectedName];
/** Every name a session, filter, policy rule or metric may show. */
export type ProtocolName = RowNames | keyof typeof protocolStates;

/** Rows in detection order. */
export const detectedNames = Object.keys(protocolRows) as readonly DetectedName[];

/** All names, detection order first, states last, each once. */
export const protocolNames: readonly ProtocolName[] = [
  ...new Set(detectedNames.flatMap((name): ProtocolName[] => [protocolRows[name].plain, protocolRows[name].overTls])),
  ...(Object.keys(protocolStates) as (keyof typeof protocolStates)[]),
];

/** The name shown for a detected row, plain or inside intercepted TLS. */
export function shownName(row: DetectedName, insideTls: boolean): ProtocolName {
  return insideTls ? protocolRows[row].overTls : protocolRows[row].plain;
}

/** Whether detection of a layer has been switched off for every row. */
export function nothingLookedFor(off: ReadonlySet<ProtocolName>, insideTls: boolean): boolean {
  return detectedNames.every((row) => off.has(shownName(row, insideTls)));
}

/**
 * Words of policy and filters and the names each stands for. A name stands for itself, except `https`, which also
 * stands for h2; `https-h1` is HTTP/1 in TLS alone (CONTRACT "Protocol names").
 */
export const protocolWords: ReadonlyMap<string, readonly ProtocolName[]> = buildWords();

function buildWords(): Map<string, readonly ProtocolName[]> {
  const words = new Map<string, ProtocolName[]>(protocolNames.map((name) => [name, [name]]));
  const add = (word: string, name: ProtocolName): void => {
    const names = words.get(word) ?? [];
    if (!names.includes(name)) names.push(name);
    words.set(word, names);
  };
  for (const row of detectedNames) {
    const { plain, overTls, groups } = protocolRows[row];
    for (const group of groups) for (const name of [plain, overTls]) add(group, name);
    if (overTls !== plain || row === 'h2') add('tls-any', overTls);
  }
  words.set('https-h1', ['https']);
  return words;
}
