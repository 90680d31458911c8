// Who may ask what of the admin listener: bearer tokens, what loopback may do without one, and the Host and Origin checks
// that keep web pages of others (DNS rebinding, cross-site requests) out. Pure; tokens are compared in constant time.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AdminFault } from './fault.ts';
import { hostOf, isLoopback } from './listen.ts';

/** What a route needs: `none` is open to all (page, health, CA), `read` sees, `write` changes. */
export type Need = 'none' | 'read' | 'write';

export interface AccessOptions {
  /** The token that may do everything, or null when there is none. */
  readonly token: string | null;
  /** A token that may only read, for dashboards. */
  readonly readToken: string | null;
  /** The listener's address can only be reached from this machine: reading then needs no token. */
  readonly loopback: boolean;
  /** Host names besides loopback's by which a reader without token may address the listener. */
  readonly hosts: readonly string[];
}

/** Judges requests; answers the fault of one that may not go on. */
export type Access = (headers: IncomingHttpHeaders, need: Need) => AdminFault | null;

/** The judge for a listener. */
export function createAccess(options: AccessOptions): Access {
  const writers = options.token === null ? null : digest(options.token);
  const readers = options.readToken === null ? null : digest(options.readToken);
  const hosts = new Set(options.hosts.map((host) => host.toLowerCase()));

  return (headers, need) => {
    if (need === 'none') return null;
    const foreign = foreignPage(headers);
    if (foreign !== null) return foreign;
    const { authorization } = headers;
    if (authorization !== undefined) {
      const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '';
      // Both comparisons run whatever the first says, so that time tells nothing.
      const writes = sameToken(token, writers);
      const reads = sameToken(token, readers);
      if (!writes && !reads) return unauthorized('The token is not right.');
      return need === 'write' && !writes ? readOnly('This token may only read.') : null;
    }
    if (!options.loopback) return unauthorized('This address needs a token: send `Authorization: Bearer ...` with the content of admin.tokenFile.');
    const host = hostOf(headers.host ?? '');
    if (host === null || !(isLoopback(host) || hosts.has(host))) {
      return new AdminFault(403, 'HOST_NOT_ALLOWED', 'Without a token this listener answers only to its own address (DNS rebinding); use 127.0.0.1 or localhost.');
    }
    return need === 'write' ? readOnly('Without a token this listener is read-only: send `Authorization: Bearer ...` with the content of admin.tokenFile.') : null;
  };
}

/** Requests made by pages of other origins, by the browser's own word. Following a link here is none. */
function foreignPage(headers: IncomingHttpHeaders): AdminFault | null {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  const crossSite = (site === 'cross-site' || site === 'same-site') && headers['sec-fetch-mode'] !== 'navigate';
  const crossOrigin = origin !== undefined && origin.toLowerCase().replace(/^https?:\/\//, '') !== (host ?? '').toLowerCase();
  return crossSite || crossOrigin ? new AdminFault(403, 'ORIGIN_NOT_ALLOWED', 'Pages of other origins may not use this API.') : null;
}

function unauthorized(message: string): AdminFault {
  return new AdminFault(401, 'UNAUTHORIZED', message);
}

function readOnly(message: string): AdminFault {
  return new AdminFault(403, 'READ_ONLY', message);
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Digests have one length, so comparing them tells nothing of the token's. */
function sameToken(token: string, expected: Buffer | null): boolean {
  const given = digest(token);
  return timingSafeEqual(given, expected ?? given) && expected !== null && token !== '';
}
