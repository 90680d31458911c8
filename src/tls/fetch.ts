// Fetches what certificates point at (issuers, CRLs, OCSP answers) over plain http, bounded in size, time and number. The addresses come from
// strangers, so it never follows redirects and never connects to this machine or its link; what a proxy makes of names is the proxy's to judge.

import type { LookupAddress, LookupOptions } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Agent } from 'undici';
import type { buildConnector } from 'undici';
import type { FetchWay } from '../core/certificates.ts';
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
  readonly way?: FetchWay;
}

const straight: FetchWay = { resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address), httpProxy: null, open: null };

/** Longer addresses are not followed. */
const urlLengthMax = 2_048;
const localAddressesMs = 5_000;
/** Names of whoever resolves them (RFC 6761, 6.3); URLs are in lower case. */
const ownName = /(?:^|\.)localhost\.?$/;

/** Whether a text is an address that a `Fetcher` would try: http, of reasonable length. Others (https, ldap) would need what they are to prove. */
export function isFetchable(url: string): boolean {
  return url.length <= urlLengthMax && URL.canParse(url) && new URL(url).protocol === 'http:';
}

type LookupDone = (error: Error | null, addresses: LookupAddress[] | string, family?: number) => void;
type Lookup = (host: string, options: LookupOptions, done: LookupDone) => void;

const httpPort = 80;

/** One for each trust in force. */
export class Fetcher {
  readonly #limits: Limits;
  readonly #allowLocal: boolean;
  readonly #way: FetchWay;
  readonly #agent: Agent;
  #running = 0;
  #local: { readonly readAtMs: number; readonly all: BlockList } | null = null;

  constructor({ limits, allowLocal, way = straight }: FetcherOptions) {
    this.#limits = limits;
    this.#allowLocal = allowLocal;
    this.#way = way;
    const { open } = way;
    const connector: buildConnector.connector | { lookup: Lookup } = open === null
      ? { lookup: (host, options, done) => this.#lookup(host, options, done) }
      : ({ hostname, port }, done) => void open(hostname.replace(/^\[|\]$/g, ''), port === '' ? httpPort : Number(port)).then((socket) => done(null, socket), (error: Error) => done(error, null));
    // One request a connection: such servers are met once in hours.
    this.#agent = new Agent({ pipelining: 0, connections: null, connect: connector });
  }

  /** The body of a 200 answer; null for everything else, whatever it is. Never rejects. */
  async fetch(url: string, bounds: FetchBounds, post: FetchBody | null = null): Promise<Buffer | null> {
    if (!isFetchable(url) || this.#running >= this.#limits.certificateFetchesMax) return null;
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    // A proxy would resolve the name to itself, or to what is beside it.
    if (isIP(host) !== 0 ? this.#refuses(host) : !this.#allowLocal && ownName.test(host)) return null;
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
    const { origin, host, pathname, search } = new URL(url);
    const { httpProxy } = this.#way;
    const { statusCode, body } = await this.#agent.request({
      ...(httpProxy === null ? { origin, path: pathname + search } : { origin: httpProxy.origin, path: origin + pathname + search }),
      method: post === null ? 'GET' : 'POST', body: post?.bytes ?? null, signal: AbortSignal.timeout(bounds.timeMs), reset: true,
      headers: {
        host, ...(post === null ? {} : { 'content-type': post.type }),
        ...(httpProxy?.authorization === undefined || httpProxy.authorization === null ? {} : { 'proxy-authorization': httpProxy.authorization }),
      },
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

  /** Names are judged by what they resolve to, in the same step that connects: a name cannot change in between. The proxy's is the operator's. */
  #lookup(host: string, options: LookupOptions, done: LookupDone): void {
    this.#way.resolve(host).then((found) => {
      const usable = found.filter((address) => this.#way.httpProxy !== null || !this.#refuses(address)).map((address) => ({ address, family: isIP(address) }));
      const [first] = usable;
      if (first === undefined) done(new Error(`${host} is an address of this machine`), []);
      else if (options.all === true) done(null, usable);
      else done(null, first.address, first.family);
    }, (error: Error) => done(error, []));
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
