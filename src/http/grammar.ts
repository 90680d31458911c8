// The character classes of RFC 9110 and 9112 as tables, and the comparisons on bytes that heads, bodies and detection
// share. It never allocates for a byte and never decides what a fault means.

/** Why a message is refused. AMBIGUOUS: two parties could frame it differently; MALFORMED: broken; NOT_HTTP: no request line at all. */
export interface Fault {
  readonly code: 'NOT_HTTP' | 'HTTP_MALFORMED' | 'HTTP_AMBIGUOUS';
  /** A short fact for operators; never payload. */
  readonly why: string;
}

/** A fault of framing that two parties could read differently: always refused. */
export const ambiguous = (why: string): Fault => ({ code: 'HTTP_AMBIGUOUS', why });
/** A broken message whose framing nobody would misread. */
export const malformed = (why: string): Fault => ({ code: 'HTTP_MALFORMED', why });

export const byte = {
  nul: 0, tab: 9, lf: 10, cr: 13, space: 32, quote: 34, zero: 48, nine: 57, colon: 58, semicolon: 59, equals: 61, backslash: 92,
} as const;

const characters = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));
const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function table(members: Iterable<number>): Uint8Array {
  const marks = new Uint8Array(256);
  for (const member of members) marks[member] = 1;
  return marks;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** tchar (RFC 9110 section 5.6.2): methods, field names, chunk extension names. */
export const tokenBytes = table(characters(`!#$%&'*+-.^_\`|~${alphanumeric}`));
/** A request target: visible ASCII. Wider than the URI grammar because real clients send `|` and braces; never a space or a control. */
export const targetBytes = table(range(0x21, 0x7e));
/** A field value or reason phrase: visible, space, tab and obs-text (RFC 9110 section 5.5). */
export const valueBytes = table([byte.tab, ...range(0x20, 0x7e), ...range(0x80, 0xff)]);
/** A quoted-string's inside without quote and backslash (RFC 9110 section 5.6.4). */
export const quotedBytes = table([byte.tab, ...range(0x20, 0x7e), ...range(0x80, 0xff)].filter((value) => value !== byte.quote && value !== byte.backslash));
/** uri-host and port without the comma, which would read as a list. */
export const hostBytes = table(characters(`-._~%:[]!$&'()*+;=${alphanumeric}`));
/** Value of a hexadecimal digit plus one; 0 for what is none. */
export const hexValues = hexTable();

function hexTable(): Uint8Array {
  const values = new Uint8Array(256);
  characters('0123456789').forEach((code, value) => (values[code] = value + 1));
  characters('abcdef').forEach((code, value) => (values[code] = value + 11));
  characters('ABCDEF').forEach((code, value) => (values[code] = value + 11));
  return values;
}

/** Whether `bytes` from `at` are the lower-case `name`, whatever their case. The caller knows that they are tchars. */
export function isNamed(bytes: Buffer, at: number, name: string): boolean {
  for (let index = 0; index < name.length; index += 1) {
    if (((bytes[at + index] ?? 0) | 0x20) !== name.charCodeAt(index)) return false;
  }
  return true;
}

/** Whether the bytes between `from` and `to` say `HTTP/1.` and a digit. */
export function isVersion1(bytes: Buffer, from: number, to: number): boolean {
  if (to - from !== 8) return false;
  for (let index = 0; index < 7; index += 1) if (bytes[from + index] !== versionStart.charCodeAt(index)) return false;
  const minor = bytes[from + 7] ?? 0;
  return minor >= byte.zero && minor <= byte.nine;
}

const versionStart = 'HTTP/1.';
