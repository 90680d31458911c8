// Fetches what certificates point at (issuers, CRLs, OCSP answers) over plain http, bounded in size, time and number. The addresses come from
// strangers, so it never follows redirects and never connects to this machine or its link.

import { lookup } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Agent, request } from 'undici';
import type { Limits } from '../core/limits.ts';

/** What a fetch may take. */
export interface FetchBounds {
  readonly bytesMax: number;
  readonly timeMs: number;
}

/** A body to be posted. */
export interface FetchBody {
  readonly type: string;
  readonly bytes: Buffer;
}

export interface FetcherOptions {
  readonly limits: Limits;
  /** Lets it reach this machine's own addresses (upstream.allowLocal). */
  readonly allowLocal: boolean;
}

/** Longer addresses are not followed. */
const urlLengthMax = 2_048;
const localAddressesMs = 5_000;

/** Whether a text is an address that a `Fetcher` would try: http, of reasonable length. Others (https, ldap) would need what they are to prove. */
export function isFetchable(url: string): boolean {
  return url.length <= urlLengthMax && URL.canParse(url) && new URL(url).protocol === 'http:';
}

/** One for each trust in force. */
export class Fetcher {
  readonly #limits: Limits;
  readonly #allowLocal: boolean;
  readonly #agent: Agent;
  #running = 0;
  #local: { readonly readAtMs: number; readonly all: BlockList } | null = null;

  constructor({ limits, allowLocal }: FetcherOptions) {
    this.#limits = limits;
    this.#allowLocal = allowLocal;
    // One request a connection: such servers are met once in hours.
    this.#agent = new Agent({ pipelining: 0, connections: null, connect: { lookup: (host, options, done) => this.#lookup(host, options, done) } });
  }

  /** The body of a 200 answer; null for everything else, whatever it is. Never rejects. */
  async fetch(url: string, bounds: FetchBounds, post: FetchBody | null = null): Promise<Buffer | null> {
    if (!isFetchable(url) || this.#running >= this.#limits.certificateFetchesMax) return null;
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0 && this.#refuses(host)) return null;
    this.#running += 1;
    try {
      return await this.#request(url, bounds, post);
    } catch {
      return null;
    } finally {
      this.#running -= 1;
    }
  }

  async #request(url: string, bounds: FetchBounds, post: FetchBody | null): Promise<Buffer | null> {
    const { statusCode, body } = await request(url, {
      dispatcher: this.#agent, signal: AbortSignal.timeout(bounds.timeMs), reset: true,
      ...(post === null ? {} : { method: 'POST', body: post.bytes, headers: { 'content-type': post.type } }),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue;
      length += chunk.length;
      // Leaving the loop ends the connection.
      if (statusCode !== 200 || length > bounds.bytesMax) return null;
      chunks.push(chunk);
    }
    return statusCode === 200 ? Buffer.concat(chunks) : null;
  }

  /** Names are judged by what they resolve to, in the same step that connects: a name cannot change in between. */
  #lookup(host: string, options: LookupOptions, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[] | string, family?: number) => void): void {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      const usable = error === null ? addresses.filter(({ address }) => !this.#refuses(address)) : [];
      const [first] = usable;
      if (first === undefined) return done(error ?? new Error(`${host} is an address of this machine`), []);
      return options.all === true ? done(null, usable) : done(null, first.address, first.family);
    });
  }

  #refuses(ip: string): boolean {
    if (this.#allowLocal) return false;
    const now = Date.now();
    if (this.#local === null || now - this.#local.readAtMs > localAddressesMs) this.#local = { readAtMs: now, all: ownAddresses() };
    return this.#local.all.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4');
  }
}

function ownAddresses(): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of [['0.0.0.0', 8], ['127.0.0.0', 8], ['169.254.0.0', 16]] as const) list.addSubnet(network, prefix, 'ipv4');
  list.addSubnet('fe80::', 10, 'ipv6');
  for (const address of ['::', '::1']) list.addAddress(address, 'ipv6');
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])) {
    list.addAddress(address, family === 'IPv6' ? 'ipv6' : 'ipv4');
  }
  return list;
}
