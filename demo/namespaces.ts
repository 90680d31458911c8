// The demo as root: three hosts as network namespaces, the gateway in the middle taking port 443 by nftables REDIRECT, and every server
// on port 443 of an address of its own, as Skype for Business deployments have it. Everything made here is removed again.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isExchanges, exchangeLines } from './clients.ts';
import type { DemoAuthority } from './identities.ts';
import type { PeerEndpoints } from './peers.ts';

const execute = promisify(execFile);
const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
const peersScript = fileURLToPath(new URL('./serve.ts', import.meta.url));
const clientsScript = fileURLToPath(new URL('./visit.ts', import.meta.url));

const server = (last: number): { host: string; port: number } => ({ host: `10.123.2.${String(last)}`, port: 443 });
const at: PeerEndpoints = { https: server(11), sips: server(12), msTurn: server(13), unknown: server(14), clientCert: server(15) };
const readyMs = 20_000;

/** Runs the exchanges through REDIRECT. True when all went well, null when namespaces cannot be made here. */
export async function redirectDemo(folder: string, authority: DemoAuthority, say: (line: string) => void): Promise<boolean | null> {
  const hosts = new Hosts(`spd${String(process.pid)}`);
  try {
    try {
      await hosts.create();
    } catch (caught) {
      say(`\nNo network namespaces here (${caught instanceof Error ? caught.message.split('\n')[0] ?? '' : ''}): REDIRECT is left out.`);
      return null;
    }
    const config = join(folder, 'redirect.yaml');
    await writeFile(config, configText(folder));
    const plan = join(folder, 'demo.json');
    await writeFile(plan, JSON.stringify({
      at, root: authority.root, gatewayCa: join(folder, 'redirect-state', 'ca.pem'), client: await authority.client('demo person'),
    }));
    await hosts.start('s', [peersScript, plan], 'serving');
    await hosts.start('g', [cli, 'run', '-c', config], 'Sallyport is up');
    await hosts.run('g', [process.execPath, cli, 'net', 'apply', '-c', config]);
    say('\nThrough nftables REDIRECT, between network namespaces, every server on port 443:');
    const exchanges: unknown = JSON.parse(await hosts.run('c', [process.execPath, clientsScript, plan]));
    if (!isExchanges(exchanges)) throw new Error('the clients gave no report');
    for (const line of exchangeLines(exchanges)) say(line);
    say('');
    say((await hosts.run('g', [process.execPath, cli, 'sessions', '-c', config])).trimEnd());
    return exchanges.every(({ failure }) => failure === null);
  } finally {
    await hosts.remove();
  }
}

function configText(folder: string): string {
  return `
state: ${join(folder, 'redirect-state')}
workers: 0
tunnelOnError: true
admin: { listen: 127.0.0.1:9090 }
services:
  - { name: https, type: ssl, listen: "[::]:8443", acquire: redirect, detectProtocol: true }
policy:
  connection: [ { name: all, then: allow } ]
  ssl: [ { name: intercept, then: intercept, handoff: true, tunnelOnError: true, clientCert: tunnel } ]
  certificate: [ { name: bad, then: deny } ]
  protocol: [ { name: unknown, when: { protocol: [unknown, undetected] }, then: relay }, { name: known, then: handoff } ]
upstream: { ca: none, extraCa: [ ${join(folder, 'internet.pem')} ] }
logging: { level: warn }
`;
}

/** Client, gateway and server as namespaces PREFIX-c, PREFIX-g, PREFIX-s. */
class Hosts {
  readonly #prefix: string;
  readonly #children: ChildProcess[] = [];

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  async create(): Promise<void> {
    for (const host of ['c', 'g', 's']) await this.#ip('netns', 'add', this.#name(host));
    await this.#link('c', '10.123.1.2', '10.123.1.1');
    await this.#link('s', '10.123.2.2', '10.123.2.1');
    for (const { host } of Object.values(at)) await this.#ip('-n', this.#name('s'), 'addr', 'add', `${host}/24`, 'dev', 'eth0');
    await this.run('g', ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  }

  /** Runs a program to its end; answers what it printed. */
  async run(host: string, command: readonly string[]): Promise<string> {
    const { stdout } = await execute('ip', ['netns', 'exec', this.#name(host), ...command], { timeout: 3 * readyMs, maxBuffer: 1 << 24 });
    return stdout;
  }

  /** Starts a Node program and waits until it prints `ready`. */
  start(host: string, args: readonly string[], ready: string): Promise<void> {
    const child = spawn('ip', ['netns', 'exec', this.#name(host), process.execPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    return new Promise((resolve, reject) => {
      let printed = '';
      const timer = setTimeout(() => reject(new Error(`${args[0] ?? ''} is not ready: ${printed}`)), readyMs);
      const hear = (chunk: Buffer): void => {
        printed += chunk.toString();
        if (!printed.includes(ready)) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.once('exit', () => reject(new Error(`${args[0] ?? ''} ended: ${printed}`)));
    });
  }

  async remove(): Promise<void> {
    await Promise.all(this.#children.map((child) => new Promise<void>((resolve) => {
      if (child.exitCode !== null || !child.kill('SIGKILL')) resolve();
      else child.once('exit', () => resolve());
    })));
    for (const host of ['c', 'g', 's']) await this.#ip('netns', 'del', this.#name(host)).catch(() => {});
  }

  async #link(host: string, address: string, gateway: string): Promise<void> {
    const far = `to-${host}`;
    await this.#ip('link', 'add', 'eth0', 'netns', this.#name(host), 'type', 'veth', 'peer', 'name', far, 'netns', this.#name('g'));
    await this.#ip('-n', this.#name(host), 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await this.#ip('-n', this.#name('g'), 'addr', 'add', `${gateway}/24`, 'dev', far);
    for (const device of ['eth0', 'lo']) await this.#ip('-n', this.#name(host), 'link', 'set', device, 'up');
    for (const device of [far, 'lo']) await this.#ip('-n', this.#name('g'), 'link', 'set', device, 'up');
    await this.#ip('-n', this.#name(host), 'route', 'add', 'default', 'via', gateway);
  }

  async #ip(...args: string[]): Promise<void> {
    await execute('ip', args, { timeout: readyMs });
  }

  #name(host: string): string {
    return `${this.#prefix}-${host}`;
  }
}
