// Finds the few rules that can match at all, so that a decision among thousands tests a handful. Each rule is filed under one
// of its conditions (names, else client, else destination, else port); a rule that has none of these is always tried.
// The index may name a rule too many, never one too few: every rule it names is still tested whole.

import { parseNetwork } from '../core/addresses.ts';
import type { Address, Network } from '../core/addresses.ts';
import type { Facts } from './facts.ts';
import type { Conditions, When } from './rules.ts';
import { foldHost } from './text.ts';

/** Rule numbers filed under one value. */
type Numbers = number[];

/** The index of one stage's rules. */
export class RuleIndex {
  readonly #always: Uint32Array;
  /** Candidates of the decision at hand; reused. */
  readonly #bits: Uint32Array;
  readonly #names: readonly NameShelf[];
  readonly #client = new NetworkShelf();
  readonly #destination = new NetworkShelf();
  readonly #ports = new Map<number, Numbers>();

  /** `whens` are the rules' conditions in the order of the rules. */
  constructor(whens: readonly (When | undefined)[]) {
    const words = Math.ceil(whens.length / 32);
    this.#always = new Uint32Array(words);
    this.#bits = new Uint32Array(words);
    const shelves = nameShelves();
    for (const [rule, when] of whens.entries()) if (!this.#file(rule, when ?? {}, shelves)) setBit(this.#always, rule);
    this.#names = shelves.filter((shelf) => shelf.count > 0);
  }

  /** A bit for every rule that may match, lowest first; valid until the next call. */
  candidates(facts: Facts): Uint32Array {
    const bits = this.#bits;
    bits.set(this.#always);
    for (const shelf of this.#names) {
      const name = shelf.read(facts);
      if (name !== null) shelf.find(name, bits);
    }
    if (this.#client.count > 0) this.#client.find(facts.client, bits);
    if (this.#destination.count > 0) this.#destination.find(facts.destination, bits);
    if (this.#ports.size > 0) setAll(bits, this.#ports.get(facts.session.destination.port));
    return bits;
  }

  #file(rule: number, when: Conditions, shelves: readonly NameShelf[]): boolean {
    const shelf = shelves.find(({ key }) => when[key]?.every(isPlainName) === true);
    if (shelf !== undefined) {
      for (const pattern of when[shelf.key] ?? []) shelf.add(pattern, rule);
      return true;
    }
    const clients = allNetworks(when.client);
    if (clients !== null) return this.#client.add(clients, rule);
    const destinations = allNetworks(when.destination);
    if (destinations !== null) return this.#destination.add(destinations, rule);
    const ports = allPorts(when.port);
    if (ports === null) return false;
    for (const port of ports) file(this.#ports, port, rule);
    return true;
  }
}

function setBit(bits: Uint32Array, number: number): void {
  const word = number >>> 5;
  bits[word] = (bits[word] ?? 0) | (1 << (number & 31));
}

function setAll(bits: Uint32Array, numbers: Numbers | undefined): void {
  if (numbers !== undefined) for (let at = 0; at < numbers.length; at += 1) setBit(bits, numbers[at] ?? 0);
}

function file<K>(shelf: Map<K, Numbers>, key: K, rule: number): void {
  const numbers = shelf.get(key);
  if (numbers === undefined) shelf.set(key, [rule]);
  else if (numbers.at(-1) !== rule) numbers.push(rule);
}

/** Rules by exact names and by names that they take everything below of. */
class NameShelf {
  readonly key: 'sni' | 'name' | 'host';
  readonly read: (facts: Facts) => string | null;
  readonly #exact = new Map<string, Numbers>();
  readonly #below = new Map<string, Numbers>();

  constructor(key: 'sni' | 'name' | 'host', read: (facts: Facts) => string | null) {
    this.key = key;
    this.read = read;
  }

  get count(): number {
    return this.#exact.size + this.#below.size;
  }

  add(pattern: string, rule: number): void {
    const folded = foldHost(pattern);
    if (folded.startsWith('*.')) file(this.#below, folded.slice(2), rule);
    else if (folded.startsWith('.')) {
      file(this.#below, folded.slice(1), rule);
      file(this.#exact, folded.slice(1), rule);
    } else file(this.#exact, folded, rule);
  }

  find(name: string, bits: Uint32Array): void {
    setAll(bits, this.#exact.get(name));
    if (this.#below.size === 0) return;
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) setAll(bits, this.#below.get(name.slice(dot + 1)));
  }
}

function nameShelves(): NameShelf[] {
  return [new NameShelf('host', (facts) => facts.requestHost), new NameShelf('sni', (facts) => facts.sni), new NameShelf('name', (facts) => facts.name)];
}

/** A name, `.x` or `*.x` in ASCII without another wildcard. */
function isPlainName(pattern: string): boolean {
  return /^(?:\*?\.)?[A-Za-z0-9_:-][A-Za-z0-9._:-]*$/.test(pattern);
}

/** Rules by network: for each prefix length that occurs, a map of hashed prefixes. Two prefixes with one hash only cost a test. */
class NetworkShelf {
  readonly #lengths: { readonly family: 4 | 6; readonly masks: Uint32Array; readonly rules: Map<number, Numbers> }[] = [];
  count = 0;

  add(networks: readonly Network[], rule: number): true {
    for (const { family, low, high } of networks) {
      const masks = low.map((word, at) => ~(word ^ (high[at] ?? 0)));
      let length = this.#lengths.find((known) => known.family === family && known.masks.every((mask, at) => mask === masks[at]));
      if (length === undefined) {
        length = { family, masks, rules: new Map() };
        this.#lengths.push(length);
      }
      file(length.rules, hashPrefix(low, masks), rule);
      this.count += 1;
    }
    return true;
  }

  find(address: Address, bits: Uint32Array): void {
    for (const { family, masks, rules } of this.#lengths) if (family === address.family) setAll(bits, rules.get(hashPrefix(address.words, masks)));
  }
}

function hashPrefix(words: Uint32Array, masks: Uint32Array): number {
  let hash = 0;
  for (let at = 0; at < 4; at += 1) hash = Math.imul(hash ^ ((words[at] ?? 0) & (masks[at] ?? 0)), 0x9e3779b1) ^ (hash >>> 15);
  return hash;
}

/** The networks of a condition, null when it has other values or none. */
function allNetworks(values: readonly string[] | undefined): Network[] | null {
  if (values === undefined) return null;
  const networks = values.flatMap((value): Network[] => {
    const network = parseNetwork(value);
    return network === undefined ? [] : [network];
  });
  return networks.length === values.length ? networks : null;
}

/** The ports of a condition one by one; null when there are too many to file. */
function allPorts(values: readonly (number | string)[] | undefined): number[] | null {
  if (values === undefined) return null;
  const ports: number[] = [];
  for (const value of values) {
    const [low = '', high = low] = String(value).split('-');
    if (ports.length + Number(high) - Number(low) >= portsFiledMax) return null;
    for (let port = Number(low); port <= Number(high); port += 1) ports.push(port);
  }
  return ports;
}

/** Wider ranges take so much traffic that filing them saves nothing. */
const portsFiledMax = 1024;
