// Takes the PROXY protocol header off a connection of a listed sender, before anything else is read of it. From everyone else the header is
// not looked for: there it would be a claim that anybody can make.

import type { Socket } from 'node:net';
import { Address, NetworkSet, parseAddress, parseNetwork } from '../core/addresses.ts';
import { FlowError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { Peek } from './peek.ts';
import { readProxyHeader } from './proxy-protocol-wire.ts';
import type { ProxyHeader } from './proxy-protocol-wire.ts';

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
export function takeProxyHeader(raw: Socket, limits: Limits): Promise<ProxyHeader> {
  return new Promise((resolve, reject) => {
    const settle = (answer: ProxyHeader | FlowError): void => {
      clearTimeout(timer);
      peek.release();
      if (answer instanceof FlowError) return reject(answer);
      raw.read(answer.lengthBytes);
      resolve(answer);
    };
    const judge = (): void => {
      const answer = readProxyHeader(peek.bytes, limits.proxyHeaderBytesMax);
      if (answer === 'no') settle(new FlowError('PROXY_HEADER_MALFORMED'));
      else if (answer !== 'more') settle(answer);
      else if (peek.error !== null) settle(peek.bytes.length > 0 ? new FlowError('PROXY_HEADER_MALFORMED', 'cut off') : new FlowError('RESET_BY_CLIENT', null, peek.error));
      else if (peek.ended) settle(peek.bytes.length > 0 ? new FlowError('PROXY_HEADER_MALFORMED', 'cut off') : new FlowError('CLIENT_CLOSED_EARLY'));
    };
    const timer = setTimeout(() => settle(new FlowError('PROXY_HEADER_MALFORMED', 'not whole within proxyHeaderMs')), limits.proxyHeaderMs);
    const peek: Peek = new Peek(raw, judge);
    judge();
  });
}
