// The Via lines of a response of our own: as they came, except for what the receiver of a request must add to the topmost one
// (RFC 3261 section 18.2.1, RFC 3581 section 4). Works on header values; never on bytes that are relayed.

import type { Endpoint } from '../core/session.ts';
import { piecesIn } from './address.ts';

/**
 * The topmost Via value with `received` and `rport` filled in: `received` where the sender names another host than it comes
 * from or asks for its port, `rport` where it asks. `source` is where the request came from; null leaves the value alone, and so does
 * what is no Via.
 */
export function stampedVia(value: string, source: Endpoint | null): string {
  if (source === null) return value;
  const [top = '', ...others] = piecesIn(value, ',');
  const [sentBy = '', ...params] = piecesIn(top, ';');
  const host = sentByHost(sentBy);
  if (host === null) return value;
  const asksPort = params.some((param) => nameOf(param) === 'rport' && !param.includes('='));
  if (!asksPort && sameHost(host, source.ip)) return value;
  const kept = params.filter((param) => nameOf(param) !== 'received').map((param) => (asksPort && nameOf(param) === 'rport' ? `${param.trimEnd()}=${source.port}` : param));
  return [[sentBy, ...kept, `received=${source.ip}`].join(';'), ...others].join(',');
}

/** `SIP/2.0/TLS host:port`: the host, brackets of IPv6 taken off; null when the words are not there. */
function sentByHost(sentBy: string): string | null {
  const match = /^\s*[^\s/]+\s*\/\s*[^\s/]+\s*\/\s*\S+\s+(?:\[([^\]\s]+)\]|([^\s:[\]]+))/.exec(sentBy);
  return match?.[1] ?? match?.[2] ?? null;
}

function sameHost(host: string, ip: string): boolean {
  return host.toLowerCase() === ip.toLowerCase();
}

function nameOf(param: string): string {
  return param.replace(/=.*/s, '').trim().toLowerCase();
}
