// Finds out how the name that a client claims relates to the address it goes to, before policy is asked, and only where some rule asks. It
// judges nothing and dials nothing.

import { isIP } from 'node:net';
import { Address, NetworkSet, parseAddress, parseNetwork } from '../core/addresses.ts';
import type { Flow } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import type { AddressMatch, Destination, Session } from '../core/session.ts';
import { hostName } from '../http/judge.ts';
import { firstHost } from './revocation-first.ts';

/** All addresses of a name; rejects when there is none, or none in time. */
export type Addresses = (host: string) => Promise<readonly string[]>;

/** Whether a destination is one of a name's addresses. Never rejects; takes as long as `addresses` does. */
export async function matchAddress(name: string, { ip, host }: Readonly<Destination>, addresses: Addresses): Promise<AddressMatch> {
  if (host !== null && hostName(host) === name) return 'named';
  const [claimed, dialled] = await Promise.all([foundOf(name, addresses), foundOf(ip ?? host, addresses)]);
  if (claimed.length === 0 || dialled.length === 0) return 'unresolved';
  const known = new NetworkSet(claimed.flatMap((address) => parseNetwork(address) ?? []));
  return dialled.some((address) => known.has(parseAddress(address) ?? new Address())) ? 'named' : 'other';
}

async function foundOf(host: string | null, addresses: Addresses): Promise<readonly string[]> {
  if (host === null || host === '') return [];
  return isIP(host) === 0 ? await addresses(host).catch(() => []) : [host];
}

export interface ClaimDeps {
  readonly limits: Limits;
  /** How a name relates to the session's destination. Absent: no rule asks. */
  readonly matchName?: (session: Session, name: string) => Promise<AddressMatch>;
}

/** Notes what a ClientHello claims. */
export async function noteHelloClaim(session: Session, deps: ClaimDeps): Promise<void> {
  if (deps.matchName !== undefined) session.claim = await claimOf(session, session.sni, deps.matchName);
}

/** Notes what the first request of plain HTTP claims, where no ClientHello did before it. Waits for its head, detectMs at most. */
export async function noteRequestClaim({ session, client }: Flow, deps: ClaimDeps): Promise<void> {
  if (deps.matchName === undefined || session.sni !== null) return;
  session.claim = await claimOf(session, await firstHost(client, deps.limits, true), deps.matchName);
}

async function claimOf(session: Session, claimed: string | null, matchName: NonNullable<ClaimDeps['matchName']>): Promise<NonNullable<Session['claim']> | null> {
  const name = claimed === null ? '' : hostName(claimed);
  return name === '' ? null : { name, address: await matchName(session, name) };
}
