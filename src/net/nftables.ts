// Renders the gateway's own nftables table: REDIRECT and TPROXY for IPv4 and IPv6, and the refusal of QUIC. Text only; apply.ts
// runs it. Nothing but `table inet sallyport` is ever named, and only the prerouting and forward hooks are used: what the
// gateway itself sends is never taken.

import { createHash } from 'node:crypto';
import type { NetPlan, Taking } from './plan.ts';
import { routingMark } from './routing.ts';

export const tableName = 'sallyport';

/** A rendered table. */
export interface RenderedTable {
  /** For `nft -f -`: replaces the table in one transaction, or makes it. */
  readonly text: string;
  /** The comments of its rules in order; each carries a digest of its rule, so that a listing tells whether the table is this one. */
  readonly comments: readonly string[];
}

interface Chain {
  readonly name: string;
  readonly hook: string;
  readonly rules: readonly { readonly match: string; readonly name: string }[];
}

const commentPrefix = 'sallyport';
const digestDigits = 10;

/** The table that a plan asks for. A plan with problems is our caller's mistake: its rules would be wrong. */
export function renderTable(plan: NetPlan): RenderedTable {
  if (plan.problems.length > 0) throw new Error(`a plan with problems has no rules: ${plan.problems.join('; ')}`);
  const comments: string[] = [];
  const lines = [`table inet ${tableName} {}`, `delete table inet ${tableName}`, `table inet ${tableName} {`];
  for (const chain of chainsOf(plan.takings)) {
    lines.push(`  chain ${chain.name} {`, `    ${chain.hook}`);
    for (const { match, name } of chain.rules) {
      const comment = commentOf(chain.name, name, match);
      comments.push(comment);
      lines.push(`    ${match} comment "${comment}"`);
    }
    lines.push('  }');
  }
  lines.push('}', '');
  return { text: lines.join('\n'), comments };
}

/** Removes the table whether or not it is there, in one transaction. */
export const removalText = `table inet ${tableName} {}\ndelete table inet ${tableName}\n`;

/** The comments of the rules in `nft -j list table inet sallyport`, in order; '' for a rule without one. Null when it is no such listing. */
export function listedComments(json: string): string[] | null {
  let listing: unknown;
  try {
    listing = JSON.parse(json);
  } catch {
    return null;
  }
  if (typeof listing !== 'object' || listing === null || !('nftables' in listing) || !Array.isArray(listing.nftables)) return null;
  const rules: unknown[] = listing.nftables.filter((entry) => typeof entry === 'object' && entry !== null && 'rule' in entry).map((entry) => entry.rule);
  return rules.map((rule) => (typeof rule === 'object' && rule !== null && 'comment' in rule && typeof rule.comment === 'string' ? rule.comment : ''));
}

function chainsOf(takings: readonly Taking[]): Chain[] {
  const chains: Chain[] = [];
  const tproxied = takings.filter(({ acquire }) => acquire === 'tproxy');
  const marked = tproxied.length > 0 || takings.some(({ clientSource }) => clientSource);
  const redirected = takings.filter(({ acquire }) => acquire === 'redirect');
  const quic = takings.filter(({ refuseUdp }) => refuseUdp);
  // Own loopback traffic passes prerouting too; what is meant for the gateway (admin, CRL, ssh) is not for interception.
  const fromOutside = [
    { name: 'loopback', match: 'iifname "lo" return' },
    { name: 'own-addresses', match: 'fib daddr type { local, broadcast, anycast, multicast } return' },
  ];
  if (marked) {
    chains.push({
      name: 'take_tproxy',
      hook: 'type filter hook prerouting priority mangle; policy accept;',
      rules: [
        ...fromOutside.slice(0, 1),
        // Connections that are already ours stay ours when the rules change; answers to those that carry a client's address are ours too.
        { name: 'established', match: `meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set ${routingMark} accept` },
        ...fromOutside.slice(1),
        ...tproxied.map((taking) => ({ name: taking.service, match: `${scope(taking)} tcp dport ${set(taking.ports)} counter ${tproxy(taking)} meta mark set ${routingMark} accept` })),
      ],
    });
  }
  if (redirected.length > 0) {
    chains.push({
      name: 'take_redirect',
      hook: 'type nat hook prerouting priority dstnat; policy accept;',
      rules: [
        ...fromOutside,
        // An accept in an earlier chain does not spare a packet this one.
        ...(marked ? [{ name: 'tproxied', match: `meta mark ${routingMark} return` }] : []),
        ...redirected.map((taking) => ({ name: taking.service, match: `${scope(taking)} tcp dport ${set(taking.ports)} counter ${redirect(taking)}` })),
      ],
    });
  }
  if (quic.length > 0) {
    chains.push({
      name: 'refuse_quic',
      hook: 'type filter hook forward priority filter; policy accept;',
      rules: quic.map((taking) => ({ name: taking.service, match: `${scope(taking)} udp dport ${set(taking.ports)} counter reject with icmpx type port-unreachable` })),
    });
  }
  return chains;
}

/** Who and where, of one family. */
function scope({ family, interfaces, clients, except }: Taking): string {
  const protocol = family === 4 ? 'ip' : 'ip6';
  const parts = [`meta nfproto ipv${family}`];
  if (interfaces.length > 0) parts.unshift(`iifname ${interfaces.length === 1 ? `"${interfaces[0]}"` : set(interfaces.map((name) => `"${name}"`))}`);
  if (clients.length > 0) parts.push(`${protocol} saddr ${set(clients)}`);
  if (except.length > 0) parts.push(`${protocol} daddr != ${set(except)}`);
  return parts.join(' ');
}

function redirect({ family, address, port }: Taking): string {
  if (address === null) return `redirect to :${port}`;
  return family === 4 ? `dnat ip to ${address}:${port}` : `dnat ip6 to [${address}]:${port}`;
}

function tproxy({ family, address, port }: Taking): string {
  if (address === null) return `tproxy ${family === 4 ? 'ip' : 'ip6'} to :${port}`;
  return family === 4 ? `tproxy ip to ${address}:${port}` : `tproxy ip6 to [${address}]:${port}`;
}

function set(values: readonly (string | number)[]): string {
  return `{ ${values.join(', ')} }`;
}

/** nft keeps comments of at most 128 octets. */
function commentOf(chain: string, name: string, match: string): string {
  const digest = createHash('sha256').update(`${chain} ${match}`).digest('hex').slice(0, digestDigits);
  return `${commentPrefix} ${name.replaceAll(/[^\w.-]/g, '_').slice(0, 64)} ${digest}`;
}
