// The nftables rules and routes of a lab gateway, put there by the product's own command, as an operator would. Taken away with the
// namespace, or earlier by `removeRules`.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { Host } from './host.ts';

export const repository = join(import.meta.dirname, '../../..');
/** What the launcher runs once it has installed everything; the launcher itself would want the network for that. */
export const sallyport = [process.execPath, join(repository, 'src/cli.ts')] as const;

const markForTproxy = 1;
const tableForTproxy = 100;

/** Sends the traffic of the config's transparent services to their listeners. */
export async function applyRules(host: Host, configFile: string, config: ConfigInput): Promise<void> {
  if (existsSync(join(repository, 'src/commands/net.ts'))) {
    await host.mustRun([...sallyport, 'net', 'apply', '-c', configFile]);
    return;
  }
  await host.mustRun(['nft', '-f', '-'], { input: ruleset(config) });
  for (const family of ['-4', '-6']) {
    await host.mustRun(['ip', family, 'rule', 'add', 'fwmark', String(markForTproxy), 'lookup', String(tableForTproxy)]);
    await host.mustRun(['ip', family, 'route', 'replace', 'local', 'default', 'dev', 'lo', 'table', String(tableForTproxy)]);
  }
}

/** Takes the rules away, so that the next gateway of the same lab starts from nothing. */
export async function removeRules(host: Host, configFile: string): Promise<void> {
  if (existsSync(join(repository, 'src/commands/net.ts'))) {
    await host.mustRun([...sallyport, 'net', 'remove', '-c', configFile]);
    return;
  }
  await host.mustRun(['nft', 'flush', 'ruleset']);
  for (const family of ['-4', '-6']) await host.mustRun(['ip', family, 'rule', 'del', 'fwmark', String(markForTproxy), 'lookup', String(tableForTproxy)]);
}

function ruleset(config: ConfigInput): string {
  const redirects: string[] = [];
  const tproxies: string[] = [];
  for (const service of config.services) {
    const ports = [service.intercept?.ports ?? []].flat().join(', ');
    if (ports === '') continue;
    const to = service.listen.slice(service.listen.lastIndexOf(':'));
    if (service.acquire === 'tproxy') {
      for (const [family, word] of [['ipv4', 'ip'], ['ipv6', 'ip6']]) {
        tproxies.push(`iifname "lan" fib daddr type != local meta nfproto ${family} tcp dport { ${ports} } tproxy ${word} to ${to} meta mark set ${markForTproxy} accept`);
      }
    } else redirects.push(`iifname "lan" fib daddr type != local tcp dport { ${ports} } redirect to ${to}`);
  }
  return `table inet lab {
  chain divert {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set ${markForTproxy} accept
    ${tproxies.join('\n    ')}
  }
  chain redirect {
    type nat hook prerouting priority dstnat; policy accept;
    ${redirects.join('\n    ')}
  }
}
`;
}
