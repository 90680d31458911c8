// Two workers beside one: CPU per handshake, how connections are spread, and whether a session that one worker began is taken up by the other.

import type { Bench } from '../bench.ts';
import { handshakes, hold, resumptions } from '../clients.ts';
import { origins } from '../origins.ts';
import type { Instance } from '../peers/peer.ts';
import { sallyport } from '../peers/sallyport.ts';
import type { Site } from '../site.ts';
import { charged } from './cpu.ts';

/** Names of the figures beside the CPU that the target is about. */
export const workerFigures = { least: 'least busy %', most: 'busiest %', resumed: 'resumed %' } as const;
/** With whom two are compared. */
export const oneWorker = 'Sallyport, one worker';

export const workers: Bench = {
  name: 'workers',
  title: 'Full handshake with two workers beside one',
  about: 'two workers beside one: CPU per handshake, how evenly connections are spread, resumption across them',
  unit: 'ms CPU per connection',
  freshInstance: false,
  contestants: [{ peer: sallyport({ variant: 'two workers', workers: 2 }) }, { peer: sallyport({ variant: 'one worker', workers: 1 }) }],
  warmUp: async (site, effort) => void await handshakes(site, origins.plain, 2 * effort.warmUpHandshakes),
  async measure(site, instance, effort) {
    const { result, ms } = await charged(instance, () => handshakes(site, origins.plain, effort.workersConnections));
    const taken = await shares(site, instance, effort.workersConnections);
    const again = await resumptions(site, origins.resuming, effort.handshakes);
    return {
      value: ms / result.done,
      aside: {
        'per second': (result.done * 1000) / result.elapsedMs, [workerFigures.least]: Math.min(...taken), [workerFigures.most]: Math.max(...taken),
        [workerFigures.resumed]: (100 * again.resumed.client) / again.resumed.offered,
      },
    };
  },
};

/** The share of held connections that each process has, in percent, as the kernel's list of sockets tells. */
async function shares(site: Site, { port }: Instance, count: number): Promise<number[]> {
  const holder = await hold(site, count);
  try {
    const listing = await site.lab.gateway.mustRun(['ss', '-Htnp', 'state', 'established', `( sport = :${String(port)} )`]);
    const owners = socketOwners(listing);
    return [...owners.values()].map((sockets) => (100 * sockets) / count);
  } finally {
    await holder.stop();
  }
}

/** Sockets of each process id in what `ss -p` prints. */
export function socketOwners(listing: string): Map<number, number> {
  const owners = new Map<number, number>();
  for (const [, pid] of listing.matchAll(/users:\(\("[^"]*",pid=(\d+),/g)) owners.set(Number(pid), (owners.get(Number(pid)) ?? 0) + 1);
  return owners;
}
