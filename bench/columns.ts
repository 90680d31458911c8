// The programs in the order in which tables and charts show them, and which of a bench's contestants is meant. Our own variants are none.

import type { BenchResult, PeerResult } from './results.ts';

export interface Column {
  readonly slug: string;
  readonly label: string;
}

/** Ours first. */
export const programColumns: readonly Column[] = [
  { slug: 'sallyport', label: 'Sallyport' }, { slug: 'sslsplit', label: 'SSLsplit' }, { slug: 'squid', label: 'Squid' }, { slug: 'mitmproxy', label: 'mitmproxy' },
  { slug: 'mockttp', label: 'mockttp' }, { slug: 'haproxy', label: 'HAProxy' },
];

/** A program's figures in a bench, whatever its set-up there; null when it took no part. */
export function inColumn({ peers }: BenchResult, { label }: Column): PeerResult | null {
  if (label === programColumns[0]?.label) return peers[0] ?? null;
  return peers.find(({ peer }) => peer === label || peer.startsWith(`${label} (`)) ?? null;
}

/** Our own variants of a bench. */
export function variants({ peers }: BenchResult): readonly PeerResult[] {
  return peers.slice(1).filter(({ peer }) => peer.startsWith('Sallyport'));
}
