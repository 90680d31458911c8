// One SIP message head as offsets into the bytes it came in: which lines are which header, and their values on demand.
// It copies nothing until a value is asked for, and never judges more grammar than that takes (RFC 3261 section 7.3).

/** The headers that are looked at, with their compact forms (RFC 3261 section 7.3.3; MS-CONMGMT, MS-SIPCOMP, MS-SIPREGE). */
const known = [
  ['content-length', 'l'], ['via', 'v'], ['from', 'f'], ['to', 't'], ['call-id', 'i'], ['cseq'], ['contact', 'm'], ['expires'],
  ['user-agent'], ['server'], ['content-type', 'c'], ['event', 'o'], ['subscription-state'], ['www-authenticate'],
  ['proxy-authenticate'], ['authorization'], ['proxy-authorization'], ['ms-keep-alive'], ['compression'],
] as const;

/** A header's long name in lower case. */
export type HeaderName = (typeof known)[number][0];
/** What `headerIdOf` answers for a header that nobody asks for. */
export const otherHeader = 255;

const idByName = new Map<string, number>(known.map(([long], id) => [long, id]));
export const contentLengthId = idOf('content-length');

interface NameEntry {
  readonly id: number;
  readonly lower: Buffer;
}
const nameLengthMax = 31;
const nameEntries: readonly NameEntry[] = known.flatMap((names, id) => names.map((name) => ({ id, lower: Buffer.from(name, 'latin1') })));
const nameSlots = buildSlots();

/** The id of the header whose name is `bytes[start, end)`, any case, long or compact; `otherHeader` when it is none of ours. */
export function headerIdOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length === 0 || length > nameLengthMax) return otherHeader;
  const entry = nameEntries[(nameSlots[slotOf(length, bytes[start] ?? 0, bytes[end - 1] ?? 0)] ?? 0) - 1];
  if (entry === undefined) return otherHeader;
  for (let index = 0; index < length; index += 1) {
    if (lowerCase(bytes[start + index] ?? 0) !== entry.lower[index]) return otherHeader;
  }
  return entry.id;
}

/** One message head. The framer fills it; it is valid until the framer goes on. All offsets count from the head's first byte. */
export class SipHead {
  #bytes: Buffer = Buffer.alloc(0);
  #base = 0;
  #count = 0;
  #ids: Uint8Array;
  #starts: Uint32Array;
  #ends: Uint32Array;
  /** First line index by header id, -1 where absent. */
  readonly #first = new Int16Array(known.length);
  #method: string | null = null;
  /** Length of the start line without its line end, of the method in it, and of the whole head. */
  startLineBytes = 0;
  methodBytes = 0;
  bytesLength = 0;
  /** 0 for a request; 100 to 699; -1 for a response whose status is no such number. */
  status = 0;

  constructor(headersMax: number) {
    this.#ids = new Uint8Array(headersMax);
    this.#starts = new Uint32Array(headersMax);
    this.#ends = new Uint32Array(headersMax);
  }

  /** Forgets the last message. */
  reset(): void {
    this.#count = 0;
    this.#first.fill(-1);
    this.#method = null;
    this.startLineBytes = 0;
    this.methodBytes = 0;
    this.bytesLength = 0;
    this.status = 0;
  }

  /** Says where the head's bytes are now: they move when a head comes in pieces. */
  place(bytes: Buffer, base: number): void {
    this.#bytes = bytes;
    this.#base = base;
  }

  /** Adds a header line's value; false when there is no room. */
  add(id: number, start: number, end: number): boolean {
    const index = this.#count;
    if (index === this.#ids.length) return false;
    this.#ids[index] = id;
    this.#starts[index] = start;
    this.#ends[index] = end;
    if (id !== otherHeader && this.#first[id] === -1) this.#first[id] = index;
    this.#count = index + 1;
    return true;
  }

  /** Lengthens the last value over a folded line; false when there is no header to fold into. */
  extend(end: number): boolean {
    if (this.#count === 0) return false;
    this.#ends[this.#count - 1] = end;
    return true;
  }

  /** The id of the last header added, or `otherHeader`. */
  get lastId(): number {
    return this.#count === 0 ? otherHeader : (this.#ids[this.#count - 1] ?? otherHeader);
  }

  /**
   * The request's method in upper case, '' for a response. RFC 3261 section 7.1 makes methods case-sensitive, but servers
   * (Kamailio) read `invite` as INVITE, so a rule must as well.
   */
  get method(): string {
    const known = this.#method;
    if (known !== null) return known;
    const method = this.status === 0 ? this.#bytes.toString('latin1', this.#base, this.#base + this.methodBytes).toUpperCase() : '';
    this.#method = method;
    return method;
  }

  /** The whole head as it came. A view. */
  get bytes(): Buffer {
    return this.#bytes.subarray(this.#base, this.#base + this.bytesLength);
  }

  has(name: HeaderName): boolean {
    return this.#first[idOf(name)] !== -1;
  }

  /** How many lines carry this header. */
  countOf(name: HeaderName): number {
    const id = idOf(name);
    let found = 0;
    for (let index = this.#first[id] ?? -1; index >= 0 && index < this.#count; index += 1) if (this.#ids[index] === id) found += 1;
    return found;
  }

  /** The first value, unfolded and trimmed, one character a byte (latin1): for keys and for copying. Null when absent. */
  raw(name: HeaderName): string | null {
    const index = this.#first[idOf(name)] ?? -1;
    return index < 0 ? null : this.#value(index, 'latin1');
  }

  /** The first value as text (UTF-8). Null when absent. */
  text(name: HeaderName): string | null {
    const index = this.#first[idOf(name)] ?? -1;
    return index < 0 ? null : this.#value(index, 'utf8');
  }

  /** All values, line by line, as latin1. */
  all(name: HeaderName): string[] {
    const id = idOf(name);
    const values: string[] = [];
    for (let index = this.#first[id] ?? -1; index >= 0 && index < this.#count; index += 1) {
      if (this.#ids[index] === id) values.push(this.#value(index, 'latin1'));
    }
    return values;
  }

  #value(index: number, encoding: 'latin1' | 'utf8'): string {
    const from = this.#base + (this.#starts[index] ?? 0);
    const to = this.#base + (this.#ends[index] ?? 0);
    const text = this.#bytes.toString(encoding, from, to);
    return (text.includes('\r') ? text.replace(foldPattern, ' ') : text).trim();
  }
}

/** A folded line end (RFC 3261 section 7.3.1) counts as one blank. */
const foldPattern = /[ \t]*\r\n[ \t]+/g;

/** The number and method of a CSeq value; null when it is none. */
export function cseqIn(value: string | null): { number: string; method: string } | null {
  const match = value === null ? null : /^(\d{1,10})[ \t]+(\S+)$/.exec(value);
  return match === null ? null : { number: match[1] ?? '', method: (match[2] ?? '').toUpperCase() };
}

function idOf(name: HeaderName): number {
  return idByName.get(name) ?? otherHeader;
}

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/** A perfect hash for the names above: length, first and last letter. The letters' case falls away with the upper bits. */
function slotOf(length: number, first: number, last: number): number {
  return (length << 10) | ((first & 31) << 5) | (last & 31);
}

function buildSlots(): Uint8Array {
  const slots = new Uint8Array((nameLengthMax + 1) << 10);
  nameEntries.forEach((entry, index) => {
    const { lower } = entry;
    const slot = slotOf(lower.length, lower[0] ?? 0, lower[lower.length - 1] ?? 0);
    if (slots[slot] !== 0) throw new Error(`two header names share a slot: ${lower.toString('latin1')}`);
    slots[slot] = index + 1;
  });
  return slots;
}
