// Who sits at an address: a file of `ADDRESS-OR-NETWORK NAME` lines for clients that cannot be asked for a login. The longest prefix
// counts. The file is read again when it changes; it proves nothing about who a client is, and never replaces a login.

import { readFileSync } from 'node:fs';
import { Address, parseAddress, parseNetwork } from '../core/addresses.ts';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import { versionOf } from './file-version.ts';

export interface UserMapOptions {
  readonly file: string;
  readonly limits: Limits;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  clock(): number;
}

/** Names by masked address, for each length of prefix that occurs, the longest first. */
type Names = readonly { readonly family: 4 | 6; readonly prefixBits: number; readonly names: ReadonlyMap<string, string> }[];

/** The users of one file. */
export class UserMap {
  readonly #options: UserMapOptions;
  readonly #address = new Address();
  #names: Names;
  #version = '';
  #lookedAtMs: number;

  /** Reads the file. Throws an Error that names file and line when it cannot be used. */
  constructor(options: UserMapOptions) {
    this.#options = options;
    this.#names = read(options);
    this.#lookedAtMs = options.clock();
  }

  /** The user at an address, null when nobody is known there. Never waits: a changed file counts from one of the next calls on. */
  userOf(ip: string): string | null {
    this.#lookAgain();
    const address = parseAddress(ip, this.#address);
    if (address === undefined) return null;
    for (const { family, prefixBits, names } of this.#names) {
      const name = family === address.family ? names.get(keyOf(address.words, prefixBits)) : undefined;
      if (name !== undefined) return name;
    }
    return null;
  }

  #lookAgain(): void {
    const { limits, clock } = this.#options;
    if (clock() - this.#lookedAtMs < limits.stateCheckMs) return;
    this.#lookedAtMs = clock();
    void this.#readAgain();
  }

  /** A file that was changed to something unusable leaves the users as they were. */
  async #readAgain(): Promise<void> {
    const version = await versionOf(this.#options.file);
    if (version === this.#version) return;
    // Before it is read: a fault is told once, not at each look.
    this.#version = version;
    try {
      this.#names = read(this.#options);
    } catch (caught) {
      this.#options.log.error({ err: caught }, 'the user map cannot be read; its users stay as they were');
    }
  }
}

function read({ file, limits }: UserMapOptions): Names {
  const parsed = parseUserMap(readFileSync(file, 'utf8'), limits.usersMax);
  if ('problem' in parsed) throw new Error(`${file}:${String(parsed.line)}: ${parsed.problem}`);
  return parsed.names;
}

/** Reads the text of a map; `usersMax` bounds its lines with a user. */
export function parseUserMap(text: string, usersMax: number): { readonly names: Names } | { readonly problem: string; readonly line: number } {
  const lengths = new Map<string, { family: 4 | 6; prefixBits: number; names: Map<string, string> }>();
  let users = 0;
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.replace(/#.*/, '').trim();
    if (line === '') continue;
    const fault = (problem: string): { problem: string; line: number } => ({ problem, line: index + 1 });
    const [place = '', name, ...more] = line.split(/\s+/);
    const network = parseNetwork(place);
    if (network === undefined) return fault(`expected an address or network, found ${JSON.stringify(place.slice(0, 60))}`);
    if (name === undefined || more.length > 0) return fault('expected ADDRESS NAME');
    users += 1;
    if (users > usersMax) return fault(`more than ${String(usersMax)} users (limits.usersMax)`);
    const { family, low, high } = network;
    const prefixBits = low.reduce((bits, word, at) => bits + Math.clz32(word ^ (high[at] ?? 0)), 0) - (family === 4 ? 96 : 0);
    const length = lengths.get(`${family}/${prefixBits}`) ?? { family, prefixBits, names: new Map<string, string>() };
    lengths.set(`${family}/${prefixBits}`, length);
    const key = keyOf(low, prefixBits);
    if (length.names.has(key)) return fault(`${place} is there twice`);
    length.names.set(key, name);
  }
  return { names: [...lengths.values()].sort((a, b) => b.prefixBits - a.prefixBits) };
}

/** The first bits of an address as text. */
function keyOf(words: Uint32Array, prefixBits: number): string {
  let key = '';
  for (let at = 0; at * 32 < prefixBits; at += 1) {
    const kept = Math.min(32, prefixBits - at * 32);
    key += `${(((words[at] ?? 0) & (kept === 32 ? -1 : -1 << (32 - kept))) >>> 0).toString(36)}.`;
  }
  return key;
}
