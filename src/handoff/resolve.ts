// Looks a name up once: by the system (hosts file and all), or by the name servers of the config alone. It remembers nothing.

import { lookup, Resolver } from 'node:dns/promises';
import { FlowError } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';

/** All addresses of a name, those to be tried first at the front. Rejects when there is none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** `servers`: addresses with or without a port; none: the system. */
export function resolverFor(servers: readonly string[], limits: Limits): Resolve {
  if (servers.length === 0) return async (host) => (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address);
  // Two tries within the time that one look-up has in all.
  const resolver = new Resolver({ timeout: Math.max(1, Math.floor(limits.dnsMs / 2)), tries: 1 });
  resolver.setServers([...servers]);
  return async (host) => {
    const answers = await Promise.allSettled([resolver.resolve6(host), resolver.resolve4(host)]);
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const failure = answers.find((answer) => answer.status === 'rejected');
    if (addresses.length === 0) throw new FlowError('DNS_FAILED', host, failure?.reason);
    return addresses;
  };
}
