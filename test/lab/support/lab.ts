// The lab: a client, a gateway and a server host as network namespaces joined by veth pairs, IPv4 and IPv6, routed through the
// gateway host. Needs root; never changes anything outside its own namespaces and temp folder.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../support/program.ts';
import { Host } from './host.ts';
import { hostsFile, network, serverNames, address } from './names.ts';
import { etcFolder, ownFolder, ownPrefix, removeNamespace, sweepDead } from './sweep.ts';

export interface Lab {
  readonly client: Host;
  readonly gateway: Host;
  readonly server: Host;
  /** Temp folder of everything that belongs to this lab. */
  readonly folder: string;
  /** Ends all programs, removes namespaces and the folder. */
  close(): Promise<void>;
}

let made = 0;

/** Makes the three hosts; sweeps what dead runs left first. Throws when the kernel or a tool does not play. */
export async function makeLab(): Promise<Lab> {
  sweepDead();
  const prefix = `${ownPrefix()}${made}-`;
  made += 1;
  const folder = ownFolder();
  const makeHost = (role: string): Host => {
    const home = join(folder, role);
    mkdirSync(home, { mode: 0o755 });
    return new Host(`${prefix}${role}`, home);
  };
  const hosts = { client: makeHost('client'), gateway: makeHost('gateway'), server: makeHost('server') };
  const remove = (): void => {
    for (const { namespace } of Object.values(hosts)) removeNamespace(namespace);
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', remove);
  const close = async (): Promise<void> => {
    for (const host of Object.values(hosts)) await host.stopAll();
    process.off('exit', remove);
    remove();
  };
  try {
    for (const host of Object.values(hosts)) await makeNamespace(host);
    await joinHosts(hosts);
  } catch (error) {
    await close();
    throw error;
  }
  return { ...hosts, folder, close };
}

async function makeNamespace({ namespace }: Host): Promise<void> {
  const etc = etcFolder(namespace);
  writeFileSync(join(etc, 'hosts'), hostsFile());
  // Nobody answers there: a name outside the hosts file fails at once instead of leaving the lab.
  writeFileSync(join(etc, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
  await mustRun(['ip', 'netns', 'add', namespace]);
}

async function joinHosts({ client, gateway, server }: { client: Host; gateway: Host; server: Host }): Promise<void> {
  // Settings before interfaces: new interfaces take them over. Without duplicate address detection addresses work at once.
  const settings = ['net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv4.ip_local_port_range=10000 60999'];
  for (const host of [client, gateway, server]) await host.mustRun(['sysctl', '-qw', ...settings]);
  await gateway.mustRun(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0']);
  await mustRun(['ip', '-batch', '-'], {
    input: [
      `link add name lan netns ${client.namespace} type veth peer name lan netns ${gateway.namespace}`,
      `link add name wan netns ${gateway.namespace} type veth peer name wan netns ${server.namespace}`,
      '',
    ].join('\n'),
  });
  const { gatewayToClient: near, gatewayToServer: far } = network;
  await addresses(client, 'lan', [...network.clients.map((ip) => `${ip}/24`), `${network.client6}/64`], near);
  await addresses(gateway, 'lan', [`${near.v4}/24`, `${near.v6}/64`], null);
  await addresses(gateway, 'wan', [`${far.v4}/24`, `${far.v6}/64`], null);
  const prefixes = serverNames.map(address).flatMap(({ v4, v6 }) => [`${v4}/24`, `${v6}/64`]);
  await addresses(server, 'wan', [...new Set(prefixes)], far);
}

async function addresses(host: Host, device: string, list: readonly string[], via: { v4: string; v6: string } | null): Promise<void> {
  const lines = [
    'link set lo up',
    `link set ${device} up`,
    ...list.map((prefix) => `address add ${prefix} dev ${device}${prefix.includes(':') ? ' nodad' : ''}`),
    ...(via === null ? [] : [`route add default via ${via.v4}`, `-6 route add default via ${via.v6}`]),
  ];
  const [ipv6, rest] = [lines.filter((line) => line.startsWith('-6 ')), lines.filter((line) => !line.startsWith('-6 '))];
  await mustRun(['ip', '-n', host.namespace, '-batch', '-'], { input: `${rest.join('\n')}\n` });
  if (ipv6.length > 0) await mustRun(['ip', '-6', '-n', host.namespace, '-batch', '-'], { input: `${ipv6.map((line) => line.slice(3)).join('\n')}\n` });
}
