// From the services of a config to what the kernel must do for them: which connections each takes, and how. Pure data; everything
// that ends up in rules is checked here, so that rendering needs no quoting.

import { isIP } from 'node:net';
import { networkCovers, parseNetwork } from '../core/addresses.ts';
import type { Network } from '../core/addresses.ts';

/** The part of a service's config that matters here; other services may be passed too and are left out. */
export interface NetService {
  readonly name: string;
  readonly type: 'ssl' | 'http' | 'http-explicit' | 'socks' | 'tcp-tunnel';
  readonly listen: { readonly host: string; readonly port: number };
  /** Null: not a transparent service. */
  readonly acquire: 'redirect' | 'tproxy' | null;
  readonly intercept: Intercept | null;
  /** client: servers see the client's address, so their answers are addressed to it. Absent: gateway. */
  readonly source?: 'gateway' | 'client';
}

/** Which traffic a service takes. Left out: the ports of its type, every interface, every client, every destination. */
export interface Intercept {
  readonly ports?: readonly number[] | undefined;
  /** Names; a trailing `*` stands for any rest. */
  readonly interfaces?: readonly string[] | undefined;
  /** Networks (CIDR). Naming only networks of one family leaves the other family alone. */
  readonly clients?: readonly string[] | undefined;
  readonly except?: readonly string[] | undefined;
}

export interface NetOptions {
  /** Destinations that no service takes. */
  readonly except?: readonly string[];
  /** Whether UDP to the ports of ssl services is refused, so that browsers leave QUIC for TCP. Default true. */
  readonly rejectQuic?: boolean;
}

export type Family = 4 | 6;

/** What one service takes of one address family. */
export interface Taking {
  readonly service: string;
  readonly family: Family;
  readonly acquire: 'redirect' | 'tproxy';
  /** Null: the listener is on every address. */
  readonly address: string | null;
  readonly port: number;
  readonly ports: readonly number[];
  readonly interfaces: readonly string[];
  /** CIDR, none inside another; empty for everyone. */
  readonly clients: readonly string[];
  readonly except: readonly string[];
  readonly refuseUdp: boolean;
  /** Servers' answers come addressed to the client and must be taken in here. */
  readonly clientSource: boolean;
}

export interface NetPlan {
  /** In the order in which they are asked. */
  readonly takings: readonly Taking[];
  /** Faults of the config that would make rules wrong or void: `service NAME: what is wrong`. Do not apply such a plan. */
  readonly problems: readonly string[];
}

/** Ports a transparent service takes unless told otherwise. A tcp-tunnel is there for SIP over TLS. */
export const defaultPorts: Readonly<Record<NetService['type'], readonly number[]>> = {
  ssl: [443], http: [80], 'tcp-tunnel': [5061], 'http-explicit': [], socks: [],
};

/** What nft takes between quotes without surprises; the kernel allows 15 octets. */
const interfacePattern = /^[A-Za-z0-9_.:+@-]{1,15}\*?$/;

/** Plans the rules for the transparent services among `services`. */
export function netPlan(services: readonly NetService[], options: NetOptions = {}): NetPlan {
  const problems: string[] = [];
  const takings: Taking[] = [];
  for (const service of services) {
    if (service.acquire === null) continue;
    const fault = (text: string): void => void problems.push(`service ${service.name}: ${text}`);
    takings.push(...takingsOf(service, service.acquire, options, fault));
  }
  // TPROXY sits before NAT in the kernel, whatever the order of the services.
  const ordered = [...takings.filter(({ acquire }) => acquire === 'tproxy'), ...takings.filter(({ acquire }) => acquire === 'redirect')];
  problems.push(...shadows(ordered));
  return { takings: ordered, problems };
}

function takingsOf(service: NetService, acquire: 'redirect' | 'tproxy', options: NetOptions, fault: (text: string) => void): Taking[] {
  const { listen, intercept } = service;
  const ports = [...new Set(intercept?.ports ?? defaultPorts[service.type])].sort((one, other) => one - other);
  for (const port of ports) if (!Number.isInteger(port) || port < 1 || port > 65_535) fault(`${port} is no port`);
  if (ports.length === 0) fault('takes no port: give intercept.ports');
  const interfaces = [...new Set(intercept?.interfaces ?? [])];
  for (const name of interfaces) if (!interfacePattern.test(name)) fault(`${JSON.stringify(name)} is no interface name`);
  const family = isIP(listen.host);
  if (family === 0) fault(`${listen.host} is no address`);
  if (acquire === 'redirect' && isLoopback(listen.host)) fault(`redirected clients cannot reach a listener on ${listen.host}: listen on 0.0.0.0, [::] or a real address`);
  const clients = networks(intercept?.clients ?? [], fault);
  const except = networks([...(options.except ?? []), ...(intercept?.except ?? [])], fault);
  const everyone = (intercept?.clients ?? []).length === 0;
  const refuseUdp = (options.rejectQuic ?? true) && service.type === 'ssl';
  const wildcard = listen.host === '0.0.0.0' || listen.host === '::';
  return familiesOf(listen.host).filter((each) => everyone || clients[each].length > 0).map((each): Taking => ({
    service: service.name, family: each, acquire, address: wildcard ? null : listen.host, port: listen.port, ports, interfaces,
    clients: clients[each].map(networkText), except: except[each].map(networkText), refuseUdp,
    clientSource: service.source === 'client',
  }));
}

/** A listener on `::` is dual stack. */
function familiesOf(host: string): Family[] {
  if (host === '::') return [4, 6];
  return isIP(host) === 6 ? [6] : [4];
}

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/** Networks by family without those that lie in another: nft refuses sets that overlap. */
function networks(texts: readonly string[], fault: (text: string) => void): Record<Family, Network[]> {
  const kept: Record<Family, Network[]> = { 4: [], 6: [] };
  for (const text of texts) {
    const network = parseNetwork(text);
    if (network === undefined) {
      fault(`${JSON.stringify(text)} is no address or network`);
      continue;
    }
    const list = kept[network.family];
    if (list.some((other) => networkCovers(other, network))) continue;
    kept[network.family] = [...list.filter((other) => !networkCovers(network, other)), network];
  }
  return kept;
}

/** A network in CIDR form without host bits. */
export function networkText({ family, low, high }: Network): string {
  const words = family === 4 ? 1 : 4;
  let prefix = 0;
  for (let word = 0; word < words; word += 1) prefix += Math.clz32((low[word] ?? 0) ^ (high[word] ?? 0));
  if (family === 4) {
    const value = low[0] ?? 0;
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}/${prefix}`;
  }
  const groups = [...low].flatMap((word) => [word >>> 16, word & 0xffff]).map((group) => group.toString(16));
  // The longest form compressed at its first run of zeros at the end is enough for rules: nft normalises the rest.
  return `${groups.join(':').replace(/(?:(?:^|:)0){2,}$/, '::')}/${prefix}`;
}

/** Ports of which a service gets nothing in any family, because others take everything first. */
function shadows(takings: readonly Taking[]): string[] {
  const problems: string[] = [];
  for (const service of new Set(takings.map((taking) => taking.service))) {
    const own = takings.filter((taking) => taking.service === service);
    for (const port of own[0]?.ports ?? []) {
      const firsts = own.map((later) => takings.slice(0, takings.indexOf(later)).find((earlier) => (
        earlier.service !== service && earlier.family === later.family && earlier.ports.includes(port) && takesAll(earlier, later)
      )));
      if (firsts.some((first) => first === undefined)) continue;
      const names = [...new Set(firsts.map((first) => first?.service))].join(' and ');
      problems.push(`service ${service}: port ${port} already goes to service ${names}: give each its own intercept.ports, interfaces or clients`);
    }
  }
  return problems;
}

function takesAll(earlier: Taking, later: Taking): boolean {
  const interfaces = earlier.interfaces.length === 0 || (later.interfaces.length > 0 && later.interfaces.every((name) => earlier.interfaces.includes(name)));
  const clients = earlier.clients.length === 0 || (later.clients.length > 0 && later.clients.every((text) => earlier.clients.some((other) => covers(other, text))));
  return interfaces && clients && earlier.except.every((text) => later.except.some((other) => covers(other, text)));
}

function covers(outer: string, inner: string): boolean {
  const [one, other] = [parseNetwork(outer), parseNetwork(inner)];
  return one !== undefined && other !== undefined && networkCovers(one, other);
}
