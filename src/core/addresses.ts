// IP addresses and networks as numbers, and sets of networks with fast look-up. Text that is no address answers undefined;
// nothing throws, and a look-up allocates nothing.

/** An address as up to four 32-bit words, most significant first; IPv4 uses the first word alone. Family 0: none. */
export class Address {
  family: 0 | 4 | 6 = 0;
  readonly words = new Uint32Array(4);
}

/** A network: every address from `low` to `high`, both in it. */
export interface Network {
  readonly family: 4 | 6;
  readonly low: Uint32Array;
  readonly high: Uint32Array;
}

/**
 * Reads IPv4 (dotted) or IPv6 (RFC 4291, with or without zone) text into `into`. An IPv4-mapped IPv6 address is read as
 * IPv4. Answers `into`, or undefined (and family 0) when the text is no address.
 */
export function parseAddress(text: string, into: Address = new Address()): Address | undefined {
  into.family = 0;
  into.words.fill(0);
  const colon = text.includes(':');
  if (!(colon ? readIpv6(text, into.words) : readIpv4(text, 0, text.length, into.words, 0))) return undefined;
  into.family = colon ? 6 : 4;
  const [first, second, third, fourth] = into.words;
  if (colon && first === 0 && second === 0 && third === 0xffff && fourth !== undefined) {
    into.words.fill(0);
    into.words[0] = fourth;
    into.family = 4;
  }
  return into;
}

/** Reads `address` or `address/prefix` (CIDR, RFC 4632); bits behind the prefix are ignored. Undefined when it is neither. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/');
  const addressText = slash === -1 ? text : text.slice(0, slash);
  const address = parseAddress(addressText);
  if (address === undefined || address.family === 0) return undefined;
  const bits = address.family === 4 ? 32 : 128;
  const mapped = address.family === 4 && addressText.includes(':');
  const prefix = slash === -1 ? bits : readPrefix(text.slice(slash + 1), mapped ? 96 : 0);
  if (prefix === undefined || prefix > bits) return undefined;
  const low = address.words.slice();
  const high = address.words.slice();
  for (let word = 0; word < (bits >>> 5); word += 1) {
    const kept = Math.min(32, Math.max(0, prefix - word * 32));
    const mask = kept === 0 ? 0 : (0xffffffff << (32 - kept)) >>> 0;
    low[word] = ((low[word] ?? 0) & mask) >>> 0;
    high[word] = ((high[word] ?? 0) | ~mask) >>> 0;
  }
  return { family: address.family, low, high };
}

/** Whether every address of `inner` is in `outer`. */
export function networkCovers(outer: Network, inner: Network): boolean {
  return outer.family === inner.family && compareWords(outer.low, 0, inner.low, 0) <= 0 && compareWords(outer.high, 0, inner.high, 0) >= 0;
}

/** A set of networks: sorted ranges without overlap, found by halving. */
export class NetworkSet {
  readonly #ipv4: Ranges;
  readonly #ipv6: Ranges;

  constructor(networks: readonly Network[]) {
    this.#ipv4 = mergedRanges(networks.filter((network) => network.family === 4));
    this.#ipv6 = mergedRanges(networks.filter((network) => network.family === 6));
  }

  /** Whether the address lies in one of the networks; never for family 0. */
  has(address: Address): boolean {
    if (address.family === 0) return false;
    const { lows, highs, count } = address.family === 4 ? this.#ipv4 : this.#ipv6;
    let from = 0;
    let to = count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (compareWords(lows, middle * 4, address.words, 0) > 0) to = middle;
      else from = middle + 1;
    }
    return from > 0 && compareWords(highs, (from - 1) * 4, address.words, 0) >= 0;
  }
}

/** Range i is words 4i to 4i+3 of `lows` and `highs`. */
interface Ranges {
  readonly lows: Uint32Array;
  readonly highs: Uint32Array;
  readonly count: number;
}

function mergedRanges(networks: readonly Network[]): Ranges {
  const sorted = [...networks].sort((a, b) => compareWords(a.low, 0, b.low, 0));
  const lows = new Uint32Array(sorted.length * 4);
  const highs = new Uint32Array(sorted.length * 4);
  let count = 0;
  for (const network of sorted) {
    // Networks either contain each other or are apart: a range that begins inside the last one ends in it too.
    if (count > 0 && compareWords(highs, (count - 1) * 4, network.low, 0) >= 0) continue;
    lows.set(network.low, count * 4);
    highs.set(network.high, count * 4);
    count += 1;
  }
  return { lows, highs, count };
}

function compareWords(left: Uint32Array, leftAt: number, right: Uint32Array, rightAt: number): number {
  for (let word = 0; word < 4; word += 1) {
    const difference = (left[leftAt + word] ?? 0) - (right[rightAt + word] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function readPrefix(text: string, mappedBits: number): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(text)) return undefined;
  const prefix = Number(text) - mappedBits;
  return prefix < 0 ? undefined : prefix;
}

/** Dotted IPv4 without leading zeros (RFC 6943 section 3.1.1: such forms are read differently by different programs). */
function readIpv4(text: string, start: number, end: number, words: Uint32Array, word: number): boolean {
  let value = 0;
  let octet = 0;
  let digits = 0;
  let octets = 0;
  for (let at = start; at <= end; at += 1) {
    const code = at === end ? dot : text.charCodeAt(at);
    if (code === dot) {
      if (digits === 0 || octets === 4) return false;
      value = value * 256 + octet;
      octets += 1;
      octet = 0;
      digits = 0;
    } else {
      if (code < zero || code > nine || (digits > 0 && octet === 0)) return false;
      octet = octet * 10 + code - zero;
      digits += 1;
      if (octet > 255) return false;
    }
  }
  words[word] = value;
  return octets === 4;
}

const dot = 0x2e;
const colonCode = 0x3a;
const percent = 0x25;
const zero = 0x30;
const nine = 0x39;

function readIpv6(text: string, words: Uint32Array): boolean {
  const zone = text.indexOf('%');
  const end = zone === -1 ? text.length : zone;
  if (zone !== -1 && !/^[\w.:-]+$/.test(text.slice(zone + 1))) return false;
  let group = 0;
  let gapAt = -1;
  let at = 0;
  if (text.charCodeAt(0) === colonCode) {
    if (text.charCodeAt(1) !== colonCode) return false;
    gapAt = 0;
    at = 2;
  }
  while (at < end) {
    if (group === 8) return false;
    const next = endOfGroup(text, at, end);
    if (text.charCodeAt(next) === dot && next < end) {
      if (group > 6 || group % 2 !== 0 && gapAt === -1) return false;
      if (!readIpv4(text, at, end, embedded, 0)) return false;
      const value = embedded[0] ?? 0;
      putGroup(words, group, value >>> 16);
      putGroup(words, group + 1, value & 0xffff);
      group += 2;
      at = end;
      break;
    }
    const value = readGroup(text, at, next);
    if (value === -1) return false;
    putGroup(words, group, value);
    group += 1;
    at = next;
    if (at === end) break;
    // A colon follows: it must be followed by a group, or be the one `::`.
    at += 1;
    if (at < end && text.charCodeAt(at) === colonCode) {
      if (gapAt !== -1) return false;
      gapAt = group;
      at += 1;
    } else if (at === end) return false;
  }
  return gapAt === -1 ? group === 8 : group < 8 && spread(words, gapAt, group);
}

/** Holds the IPv4 part of an IPv6 text while it is taken apart. */
const embedded = new Uint32Array(1);

function endOfGroup(text: string, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (code === colonCode || code === dot || code === percent) break;
    at += 1;
  }
  return at;
}

function readGroup(text: string, start: number, end: number): number {
  if (end === start || end - start > 4) return -1;
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at) | 0x20;
    const digit = code >= 0x61 && code <= 0x66 ? code - 0x57 : text.charCodeAt(at) >= zero && text.charCodeAt(at) <= nine ? text.charCodeAt(at) - zero : -1;
    if (digit === -1) return -1;
    value = value * 16 + digit;
  }
  return value;
}

function putGroup(words: Uint32Array, group: number, value: number): void {
  const word = group >>> 1;
  words[word] = group % 2 === 0 ? ((value << 16) | ((words[word] ?? 0) & 0xffff)) >>> 0 : (((words[word] ?? 0) & 0xffff0000) | value) >>> 0;
}

function groupOf(words: Uint32Array, group: number): number {
  const word = words[group >>> 1] ?? 0;
  return group % 2 === 0 ? word >>> 16 : word & 0xffff;
}

/** Moves the groups behind `::` to the end and fills the gap with zeros. */
function spread(words: Uint32Array, gapAt: number, groups: number): true {
  const shift = 8 - groups;
  for (let group = 7; group >= gapAt; group -= 1) putGroup(words, group, group - shift >= gapAt ? groupOf(words, group - shift) : 0);
  return true;
}
