// New connections: full handshakes on both sides, and resumed ones beside our own full pair.

import type { Bench, Contestant, Measured, Work } from '../bench.ts';
import { handshakes, resumptions } from '../clients.ts';
import type { LoadReport } from '../load-plan.ts';
import { origins } from '../origins.ts';
import { haproxy } from '../peers/haproxy.ts';
import { mitmproxy } from '../peers/mitmproxy.ts';
import { mockttp } from '../peers/mockttp.ts';
import { sallyport } from '../peers/sallyport.ts';
import { squid } from '../peers/squid.ts';
import { sslsplit } from '../peers/sslsplit.ts';
import { charged } from './cpu.ts';

const full: Work = {
  warmUp: async (site, effort) => void await handshakes(site, origins.plain, effort.warmUpHandshakes),
  async measure(site, instance, effort) {
    const { result, ms } = await charged(instance, () => handshakes(site, origins.plain, effort.handshakes));
    return connections(result, ms);
  },
};

const resuming: Work = {
  warmUp: async (site, effort) => void await resumptions(site, origins.resuming, effort.warmUpHandshakes),
  async measure(site, instance, effort) {
    const { result, ms } = await charged(instance, () => resumptions(site, origins.resuming, effort.handshakes));
    const share = (count: number): number => (100 * count) / result.resumed.offered;
    const { value, aside } = connections(result, ms);
    return { value, aside: { ...aside, 'client resumed %': share(result.resumed.client), 'upstream resumed %': share(result.resumed.upstream) } };
  },
};

function connections({ done, elapsedMs, latenciesMs }: LoadReport, ms: number): Measured {
  return { value: ms / done, aside: { 'per second': (done * 1000) / elapsedMs, 'p50 ms': latenciesMs.p50 ?? NaN, 'p99 ms': latenciesMs.p99 ?? NaN } };
}

export const handshake: Bench = {
  name: 'handshake',
  title: 'Full handshake on both sides, one request, close',
  about: 'new connections, full handshakes on both sides, one 1 KiB page, close',
  unit: 'ms CPU per connection',
  freshInstance: false,
  ...full,
  contestants: [sallyport(), sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.plain)].map(plain),
};

/** Ours in full, in the same rounds: what resumption saves. */
export const fullPair = 'Sallyport, full pair';

export const resumed: Bench = {
  name: 'resumed',
  title: 'Resumed handshake on both sides, one request, close',
  about: 'the same with sessions taken up again, beside our own full pair; how often each side resumed',
  unit: 'ms CPU per connection',
  freshInstance: false,
  ...resuming,
  contestants: [
    { peer: sallyport() }, { peer: sallyport({ variant: 'full pair' }), work: full },
    ...[sslsplit(), squid(), mitmproxy(), haproxy(origins.resuming, { resumes: true })].map(plain),
  ],
};

function plain(peer: Contestant['peer']): Contestant {
  return { peer };
}
