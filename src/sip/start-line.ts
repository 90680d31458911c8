// The first line of a SIP message (RFC 3261 section 7.1 and 7.2), by bytes, and the byte walks that heads share. Tolerant of what is only odd; it decides the
// kind of a message and its method or status, never whether its URI is well formed.

/** Where the answers go: a message head. */
interface StartLine {
  methodBytes: number;
  status: number;
}

const space = 32;
const tab = 9;
const colon = 58;
/** `SIP/`, upper case: SIP-Version is case-insensitive (RFC 3261 section 7.1). */
const versionName = [0x53, 0x49, 0x50, 0x2f] as const;
const tokenBytes = buildTokenBytes();

/** Reads the line [start, end) into `line`; false when it is neither a request line nor a status line. */
export function readStartLine(bytes: Uint8Array, start: number, end: number, line: StartLine): boolean {
  if (startsWithVersion(bytes, start, end)) {
    line.status = statusIn(bytes, start, end);
    return line.status !== 0;
  }
  const at = tokenEnd(bytes, start, end);
  if (at === start || bytes[at] !== space) return false;
  line.methodBytes = at - start;
  let last = end;
  while (last > at && isBlank(bytes[last - 1])) last -= 1;
  let word = last;
  while (word > at && !isBlank(bytes[word - 1])) word -= 1;
  // The version must be a word of its own after a URI, not the URI itself.
  return startsWithVersion(bytes, word, last) && pastBlanks(bytes, at, word) < word;
}

/** The end of the token that begins at `start` (RFC 3261 section 25.1). */
export function tokenEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && tokenBytes[bytes[at] ?? 0] === 1) at += 1;
  return at;
}

/** The offset of the first byte from `start` on that is no blank. */
export function pastBlanks(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(bytes[at])) at += 1;
  return at;
}

/** The offset after blanks and a colon; -1 when there is no colon. */
export function pastColon(bytes: Uint8Array, start: number, end: number): number {
  const at = pastBlanks(bytes, start, end);
  return at < end && bytes[at] === colon ? at + 1 : -1;
}

/** The number 1*DIGIT between blanks in [start, end); -1 when it is none, Infinity when no count could be as large. */
export function numberIn(bytes: Uint8Array, start: number, end: number): number {
  const digits = pastBlanks(bytes, start, end);
  let at = digits;
  let value = 0;
  for (; at < end; at += 1) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (at === digits || pastBlanks(bytes, at, end) !== end) return -1;
  return value > Number.MAX_SAFE_INTEGER ? Infinity : value;
}

/** Whether [start, end) begins with `SIP/`, any case. */
export function startsWithVersion(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < versionName.length) return false;
  for (let index = 0; index < 3; index += 1) if (((bytes[start + index] ?? 0) & 0xdf) !== versionName[index]) return false;
  return bytes[start + 3] === versionName[3];
}

export function isBlank(byte: number | undefined): boolean {
  return byte === space || byte === tab;
}

/** The status of a status line: 100 to 699, -1 for another number, 0 when there is none. */
function statusIn(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && !isBlank(bytes[at])) at += 1;
  at = pastBlanks(bytes, at, end);
  const digits = at;
  let status = 0;
  for (; at < end; at += 1) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    if (at - digits < 4) status = status * 10 + digit;
  }
  if (at === digits || (at < end && !isBlank(bytes[at]))) return 0;
  return at - digits === 3 && status >= 100 && status <= 699 ? status : -1;
}

function buildTokenBytes(): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~") table[character.charCodeAt(0)] = 1;
  return table;
}
