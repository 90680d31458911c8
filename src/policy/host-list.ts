// A compact set of host names, each standing for itself and everything below it: a hash table over one buffer, so that a million
// names cost some 30 MB and a look-up well under a microsecond without allocating.

import { domainToASCII } from 'node:url';

/** A line of a list file that is no name. */
export interface ListFault {
  /** From 1. */
  readonly line: number;
  readonly problem: string;
}

/** Names of a list; built by parseHostList. */
export class HostList {
  /** Names in lower case, each behind one byte of its length. */
  readonly #names: Buffer;
  /** Open addressing; an entry is the offset in `names` plus one, 0 is free. */
  readonly #slots: Uint32Array;
  readonly #mask: number;
  #end = 0;
  /** How many different names it holds. */
  count = 0;

  /** Room for names of `nameBytesMax` bytes together, `countMax` of them. */
  constructor(nameBytesMax: number, countMax: number) {
    const slots = 2 ** Math.max(4, Math.ceil(Math.log2(countMax * 2 + 1)));
    this.#names = Buffer.allocUnsafe(nameBytesMax + countMax);
    this.#slots = new Uint32Array(slots);
    this.#mask = slots - 1;
  }

  /** Adds a name: `bytes` from `start` to `end`, lower case. */
  add(bytes: Uint8Array, start: number, end: number): void {
    let hash = hashSeed;
    for (let at = end - 1; at >= start; at -= 1) hash = mix(hash, bytes[at] ?? 0);
    let slot = spreadHash(hash) & this.#mask;
    for (let entry = this.#slots[slot] ?? 0; entry !== 0; entry = this.#slots[slot] ?? 0) {
      if (this.#equals(entry - 1, bytes, start, end)) return;
      slot = (slot + 1) & this.#mask;
    }
    this.#slots[slot] = this.#end + 1;
    this.#names[this.#end] = end - start;
    this.#names.set(bytes.subarray(start, end), this.#end + 1);
    this.#end += end - start + 1;
    this.count += 1;
  }

  /** Whether `host` (lower case, no trailing dot) or a name above it is in the list. */
  has(host: string): boolean {
    let hash = hashSeed;
    for (let at = host.length - 1; at >= 0; at -= 1) {
      hash = mix(hash, host.charCodeAt(at));
      if ((at === 0 || host.charCodeAt(at - 1) === dot) && this.#hasFrom(host, at, hash)) return true;
    }
    return false;
  }

  #hasFrom(host: string, start: number, hash: number): boolean {
    let slot = spreadHash(hash) & this.#mask;
    for (let entry = this.#slots[slot] ?? 0; entry !== 0; entry = this.#slots[slot] ?? 0) {
      if (this.#equalsText(entry - 1, host, start)) return true;
      slot = (slot + 1) & this.#mask;
    }
    return false;
  }

  #equals(offset: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#names[offset] !== end - start) return false;
    for (let at = start; at < end; at += 1) if (this.#names[offset + 1 + at - start] !== bytes[at]) return false;
    return true;
  }

  #equalsText(offset: number, host: string, start: number): boolean {
    if (this.#names[offset] !== host.length - start) return false;
    for (let at = start; at < host.length; at += 1) if (this.#names[offset + 1 + at - start] !== host.charCodeAt(at)) return false;
    return true;
  }
}

const dot = 0x2e;
const newline = 0x0a;
const hashMark = 0x23;
const nameBytesMax = 253;

/** FNV-1a, taken from the last character to the first so that every parent's hash comes on the way. */
const hashSeed = 0x811c9dc5;
function mix(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}

/** FNV's low bits are its worst, and the table takes the low bits. */
function spreadHash(hash: number): number {
  const folded = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (folded ^ (folded >>> 13)) >>> 0;
}

/**
 * Reads a list: one name a line, `#` begins a comment, `*.` and `.` before a name are allowed and change nothing. Names beyond
 * `namesMax` and lines that are no names are faults (the first few are told).
 */
export function parseHostList(bytes: Buffer, namesMax: number): { list: HostList; faults: readonly ListFault[] } {
  const list = new HostList(bytes.length + nameBytesMax, Math.min(namesMax, countLines(bytes)));
  const faults: ListFault[] = [];
  const scratch = new Uint8Array(nameBytesMax);
  let lines = 0;
  for (let start = 0; start < bytes.length && faults.length < faultsShownMax; ) {
    const lineEnd = bytes.indexOf(newline, start);
    const end = lineEnd === -1 ? bytes.length : lineEnd;
    lines += 1;
    const length = readName(bytes, start, end, scratch);
    if (length === -1) faults.push({ line: lines, problem: `not a host name: ${JSON.stringify(bytes.toString('utf8', start, Math.min(end, start + lineShownBytesMax)).trim())}` });
    else if (length > 0 && list.count >= namesMax) {
      faults.push({ line: lines, problem: `more names than limits.policyListMax (${namesMax})` });
      break;
    } else if (length > 0) list.add(scratch, 0, length);
    start = end + 1;
  }
  return { list, faults };
}

/** One bad export can make every line wrong; nobody reads more than these. */
const faultsShownMax = 10;
const lineShownBytesMax = 60;

function countLines(bytes: Buffer): number {
  let lines = 1;
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) lines += 1;
  return lines;
}

/** Puts a line's name into `into`; answers its length, 0 for an empty line, -1 for none. */
function readName(bytes: Buffer, start: number, end: number, into: Uint8Array): number {
  let from = start;
  while (from < end && isSpace(bytes[from])) from += 1;
  let to = from;
  while (to < end && bytes[to] !== hashMark && !isSpace(bytes[to])) to += 1;
  for (let rest = to; rest < end && bytes[rest] !== hashMark; rest += 1) if (!isSpace(bytes[rest])) return -1;
  if (from === to) return 0;
  if (bytes[from] === 0x2a && bytes[from + 1] === dot) from += 2;
  else if (bytes[from] === dot) from += 1;
  if (bytes[to - 1] === dot) to -= 1;
  if (from >= to || to - from > nameBytesMax) return -1;
  let labelBytes = 0;
  for (let at = from; at < to; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte >= 0x80) return readInternational(bytes.toString('utf8', from, to), into);
    labelBytes = byte === dot ? 0 : labelBytes + 1;
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    const emptyLabel = byte === dot && (at === from || bytes[at - 1] === dot);
    if (emptyLabel || labelBytes > 63 || !isNameByte(lower)) return -1;
    into[at - from] = lower;
  }
  return to - from;
}

function readInternational(text: string, into: Uint8Array): number {
  const ascii = domainToASCII(text);
  if (ascii === '' || ascii.length > nameBytesMax) return -1;
  return into.length >= ascii.length ? new TextEncoder().encodeInto(ascii, into).written : -1;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

function isNameByte(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === dot || byte === 0x5f;
}
