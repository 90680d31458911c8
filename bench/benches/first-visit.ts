// How long the first visit to a name takes: the server reached and judged, a certificate made, the page fetched. One connection at a time, and
// each name with a certificate of its own, so that no proxy has met it before.

import type { Bench, Effort } from '../bench.ts';
import { coldVisits, handshakes } from '../clients.ts';
import { origins } from '../origins.ts';
import { mitmproxy } from '../peers/mitmproxy.ts';
import { mockttp } from '../peers/mockttp.ts';
import type { Instance } from '../peers/peer.ts';
import { sallyport } from '../peers/sallyport.ts';
import { squid } from '../peers/squid.ts';
import { sslsplit } from '../peers/sslsplit.ts';
import type { LoadReport } from '../load-plan.ts';
import type { Site } from '../site.ts';
import { charged } from './cpu.ts';

/** Number of the next name that an instance has not been asked for. */
const nextName = new WeakMap<Instance, number>();

export const firstVisit: Bench = {
  name: 'first-visit',
  title: 'First visit to a name: connection to whole page, one at a time',
  about: 'latency of the first visit to a name (a new certificate each time), p50',
  unit: 'ms (p50)',
  freshInstance: false,
  contestants: [sallyport(), sslsplit(), squid(), mitmproxy(), mockttp].map((peer) => ({ peer })),
  async warmUp(site, effort, instance) {
    // A gateway has worked for weeks when somebody asks for something new.
    await handshakes(site, origins.plain, effort.warmUpHandshakes);
    await visits(site, effort, instance);
  },
  async measure(site, instance, effort) {
    const { result, ms } = await charged(instance, () => visits(site, effort, instance));
    return { value: result.latenciesMs.p50 ?? NaN, aside: { 'p99 ms': result.latenciesMs.p99 ?? NaN, 'ms CPU': ms / result.done } };
  },
};

async function visits(site: Site, { firstVisits }: Effort, instance: Instance): Promise<LoadReport> {
  const first = nextName.get(instance) ?? 0;
  nextName.set(instance, first + firstVisits);
  return await coldVisits(site, first, firstVisits, 1);
}
