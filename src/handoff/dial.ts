// Dials the destination of a flow: resolves names (cached, single flight), refuses the gateway's own ports, and keeps a connection
// that detection opened early until a handler takes it.

import { BlockList, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { FlowError, toFlowError } from '../core/errors.ts';
import type { Flow } from '../core/flow.ts';
import type { AddressMatch, Session } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import { matchAddress } from './claim.ts';
import { connectAny } from './connect-any.ts';
import { resolverFor } from './resolve.ts';
import type { Resolve } from './resolve.ts';
import { openThrough } from './upstream-proxy.ts';
import type { UpstreamProxy } from './upstream-proxy.ts';

export interface DialOptions {
  readonly limits: Limits;
  /** Ports on which this gateway listens, all services and the admin and CRL listeners. */
  readonly ownPorts: ReadonlySet<number>;
  /** Whether clients of explicit services may reach other ports on local addresses. */
  readonly allowLocal: boolean;
  /** Services whose destination the kernel gave: they may reach local addresses. */
  readonly transparentServices: ReadonlySet<string>;
  /** Those of them whose servers see the client's address; absent: none. */
  readonly clientSourceServices?: ReadonlySet<string>;
  /** Every connection goes through it; it resolves names. Absent: none does. */
  readonly proxy?: UpstreamProxy;
  /** Name servers; none: the system's. */
  readonly dns?: readonly string[];
  clock(): number;
}

/** One for each gateway process. */
export class Dialer {
  readonly #options: DialOptions;
  readonly #names: NameCache;
  readonly #early = new WeakMap<Session, Promise<Socket>>();
  #local: LocalAddresses | null = null;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#names = new NameCache(options.limits, () => options.clock(), resolverFor(options.dns ?? [], options.limits));
  }

  /** Opens the connection now; a later `dial` of the same session takes it. Rejects as `dial` does. */
  early(session: Session): Promise<Socket> {
    const known = this.#early.get(session);
    if (known !== undefined) return known;
    const dialled = this.#open(session);
    this.#early.set(session, dialled);
    return dialled;
  }

  /**
   * A TCP connection to the session's destination, paused, with half-close and without Nagle. Rejects with DNS_FAILED, DIAL_REFUSED,
   * DIAL_TIMEOUT, DIAL_UNREACHABLE, DIAL_LOOP or UPSTREAM_PROXY_FAILED.
   */
  dial({ session }: Pick<Flow, 'session'>): Promise<Socket> {
    const early = this.#early.get(session);
    if (early === undefined) return this.#open(session);
    this.#early.delete(session);
    return this.#taken(early, session);
  }

  async #taken(early: Promise<Socket>, session: Session): Promise<Socket> {
    const socket = await early;
    return (await hasGivenUp(socket)) ? await this.#open(session) : socket;
  }

  /** How a name relates to where a session goes; never rejects, and waits for no more than look-ups may take. */
  async matchName({ destination }: Session, name: string): Promise<AddressMatch> {
    return await matchAddress(name, destination, (host) => this.#names.resolve(host));
  }

  /** Closes what was opened early and never taken. */
  drop(session: Session): void {
    const early = this.#early.get(session);
    this.#early.delete(session);
    early?.then((socket) => socket.destroy(), () => {});
  }

  async #open(session: Session): Promise<Socket> {
    const { destination, service, client } = session;
    const host = destination.ip ?? destination.host;
    if (host === null) throw new FlowError('NO_ORIGINAL_DST');
    const family = isIP(host);
    if (family !== 0) this.#refuseLoop(host, destination.port, service);
    const { proxy, limits, clientSourceServices } = this.#options;
    if (proxy !== undefined) return await this.#openThrough(proxy, { host, port: destination.port });
    const addresses = family === 0 ? await this.#resolve(host, destination.port, service) : [host];
    const from = clientSourceServices?.has(service) === true ? { from: client.ip } : {};
    const socket = await connectAny(addresses, destination.port, { dialMs: limits.dialMs, dialAttemptMs: limits.dialAttemptMs, ...from });
    destination.ip ??= socket.remoteAddress ?? null;
    return socket;
  }

  async #openThrough(proxy: UpstreamProxy, target: { host: string; port: number }): Promise<Socket> {
    const { limits } = this.#options;
    let socket: Socket;
    try {
      const addresses = isIP(proxy.host) === 0 ? await this.#names.resolve(proxy.host) : [proxy.host];
      socket = await connectAny(addresses, proxy.port, limits);
    } catch (caught) {
      throw new FlowError('UPSTREAM_PROXY_FAILED', `the proxy cannot be reached: ${toFlowError(caught).code}`, caught);
    }
    await openThrough(socket, proxy, target, limits);
    return socket;
  }

  async #resolve(host: string, port: number, service: string): Promise<string[]> {
    const found = await this.#names.resolve(host);
    let loop: unknown = null;
    const usable = found.filter((address) => {
      try {
        this.#refuseLoop(address, port, service);
        return true;
      } catch (caught) {
        loop = caught;
        return false;
      }
    });
    if (usable.length === 0) throw loop ?? new FlowError('DNS_FAILED', host);
    return usable;
  }

  #refuseLoop(ip: string, port: number, service: string): void {
    const { ownPorts, allowLocal, transparentServices, clock } = this.#options;
    const suspicious = ownPorts.has(port) || !(allowLocal || transparentServices.has(service));
    if (!suspicious) return;
    this.#local = freshAddresses(this.#local, clock());
    if (isLocal(ip, this.#local)) throw new FlowError('DIAL_LOOP', `${ip}:${String(port)}`);
  }
}

/** A server may have given up on a connection that waited, without a byte; bytes it sent are worth having whatever came after. */
async function hasGivenUp(socket: Socket): Promise<boolean> {
  if (socket.readableLength > 0) return false;
  // A read of nothing lets a FIN that has arrived become an end, and takes no byte.
  socket.read(0);
  await new Promise((resolve) => setImmediate(resolve));
  const gone = socket.destroyed || socket.readableEnded;
  if (gone) socket.destroy();
  return gone;
}

interface LocalAddresses {
  readonly readAtMs: number;
  readonly all: BlockList;
}

/** How long the list of the machine's addresses is believed. */
const localAddressesMs = 5000;

function freshAddresses(known: LocalAddresses | null, nowMs: number): LocalAddresses {
  if (known !== null && nowMs - known.readAtMs < localAddressesMs) return known;
  const all = new BlockList();
  all.addSubnet('127.0.0.0', 8);
  all.addSubnet('0.0.0.0', 8);
  all.addAddress('::1', 'ipv6');
  all.addAddress('::', 'ipv6');
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
    all.addAddress(address, family === 'IPv6' ? 'ipv6' : 'ipv4');
  }
  return { readAtMs: nowMs, all };
}

/** However the address is written: short, long, or IPv4 mapped into IPv6. */
function isLocal(ip: string, local: LocalAddresses): boolean {
  return local.all.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4');
}

/** Names resolved lately; one look-up at a time for each. */
class NameCache {
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #resolve: Resolve;
  readonly #known = new Map<string, { untilMs: number; addresses: Promise<readonly string[]> }>();

  constructor(limits: Limits, clock: () => number, ask: Resolve) {
    this.#resolve = ask;
    this.#limits = limits;
    this.#clock = clock;
  }

  resolve(host: string): Promise<readonly string[]> {
    const known = this.#known.get(host);
    if (known !== undefined && known.untilMs > this.#clock()) return known.addresses;
    const addresses = this.#ask(host);
    this.#known.delete(host);
    const oldest = this.#known.keys().next();
    if (this.#known.size >= this.#limits.dnsCacheMax && oldest.done !== true) this.#known.delete(oldest.value);
    if (this.#limits.dnsCacheMax > 0) this.#known.set(host, { untilMs: this.#clock() + this.#limits.dnsCacheMs, addresses });
    // Failures are not remembered: a name may be made to work the next moment.
    addresses.catch(() => this.#known.delete(host));
    return addresses;
  }

  async #ask(host: string): Promise<readonly string[]> {
    const expired = Promise.withResolvers<never>();
    const timer = setTimeout(() => expired.reject(new FlowError('DNS_FAILED', `${host}: no answer`)), this.#limits.dnsMs);
    try {
      return await Promise.race([this.#resolve(host), expired.promise]);
    } catch (caught) {
      throw caught instanceof FlowError ? caught : new FlowError('DNS_FAILED', host, caught);
    } finally {
      clearTimeout(timer);
    }
  }
}
