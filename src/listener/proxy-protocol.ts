// Takes the PROXY protocol header off a connection of a listed sender, before anything else is read of it. From everyone else the header is
// not looked for: there it would be a claim that anybody can make.

import type { Socket } from 'node:net';
import { Address, NetworkSet, parseAddress, parseNetwork } from '../core/addresses.ts';
import { FlowError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { readProxyHeader } from './proxy-protocol-wire.ts';
import type { ProxyHeader } from './proxy-protocol-wire.ts';
import { takeMessage } from './take.ts';

/** Senders whose connections begin with a header. */
export class ProxySenders {
  readonly #networks: NetworkSet;
  readonly #address = new Address();

  /** Networks in CIDR form, checked before. */
  constructor(networks: readonly string[]) {
    this.#networks = new NetworkSet(networks.flatMap((text) => parseNetwork(text) ?? []));
  }

  has(ip: string): boolean {
    return parseAddress(ip, this.#address) !== undefined && this.#networks.has(this.#address);
  }
}

/**
 * Reads the header and takes it off the stream; what follows is still in it. Rejects with PROXY_HEADER_MALFORMED when it is broken, missing
 * or not whole within proxyHeaderMs, with CLIENT_CLOSED_EARLY or RESET_BY_CLIENT when nothing came at all.
 */
export async function takeProxyHeader(raw: Socket, limits: Limits): Promise<ProxyHeader> {
  const taken = await takeMessage(raw, (bytes) => readProxyHeader(bytes, limits.proxyHeaderBytesMax), limits.proxyHeaderMs);
  switch (taken.kind) {
    case 'message': return taken.message;
    case 'ended': throw new FlowError('CLIENT_CLOSED_EARLY');
    case 'error': throw new FlowError('RESET_BY_CLIENT', null, taken.error);
    case 'late': throw new FlowError('PROXY_HEADER_MALFORMED', 'not whole within proxyHeaderMs');
    case 'cut': throw new FlowError('PROXY_HEADER_MALFORMED', 'cut off');
    case 'no': throw new FlowError('PROXY_HEADER_MALFORMED');
  }
}
