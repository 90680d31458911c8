// Whether UDP reaches the outside: one STUN binding request by the npm package `stun`. That package reads error responses wrongly
// and MS-TURN not at all (FACTS: only fit for this), so nothing but the mapped address is taken from it.

import { createRequire } from 'node:module';

export interface StunAnswer {
  /** The address the STUN server saw, `ADDRESS:PORT`, or null. */
  readonly mapped: string | null;
  /** Why there is none, else null. */
  readonly fault: string | null;
}

/** Requests are sent again after this part, twice and four times this part of the time there is. */
const attemptShare = 7;

/** Asks `server` (`HOST` or `HOST:PORT`, default port 3478) within `waitMs`. Never rejects. */
export async function askStun(server: string, waitMs: number): Promise<StunAnswer> {
  // Loaded on demand: no other command needs it. CommonJS without types, hence the checks.
  const stun: unknown = createRequire(import.meta.url)('stun');
  if (typeof stun !== 'object' || stun === null || !('request' in stun) || typeof stun.request !== 'function') return { mapped: null, fault: 'the stun package is not what it was' };
  const part = Math.max(1, Math.floor(waitMs / attemptShare));
  try {
    const response: unknown = await stun.request(server, { timeout: part, maxTimeout: waitMs, retries: 2 });
    const mapped = mappedAddress(response, 'getXorAddress') ?? mappedAddress(response, 'getAddress');
    return mapped === null ? { mapped, fault: 'an answer without an address' } : { mapped, fault: null };
  } catch (error) {
    return { mapped: null, fault: error instanceof Error ? error.message : String(error) };
  }
}

function mappedAddress(response: unknown, method: 'getXorAddress' | 'getAddress'): string | null {
  if (typeof response !== 'object' || response === null) return null;
  const read: unknown = Reflect.get(response, method);
  if (typeof read !== 'function') return null;
  const address: unknown = Reflect.apply(read, response, []);
  if (typeof address !== 'object' || address === null || !('address' in address) || !('port' in address)) return null;
  return typeof address.address === 'string' && typeof address.port === 'number' ? `${address.address}:${address.port}` : null;
}
