// `sallyport demo`: a working gateway with real traffic in one command. Servers and clients run here, over loopback through the explicit
// proxy; as root also in network namespaces of their own through REDIRECT. Ends with the sessions table and, without --once, stays up.

import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exchangeLines, runClients } from '../../demo/clients.ts';
import { DemoAuthority } from '../../demo/identities.ts';
import { redirectDemo } from '../../demo/namespaces.ts';
import { startPeers } from '../../demo/peers.ts';
import { loadConfig } from '../config/load.ts';
import type { Session } from '../core/session.ts';
import { createLogger } from '../core/log.ts';
import { startGateway } from '../gateway.ts';
import type { Gateway } from '../gateway.ts';
import { readyConfig } from './policy.ts';
import { tableLines } from './sessions-text.ts';

const help = `Usage: ./sallyport demo [--once]

Runs real HTTPS, SIP-over-TLS, MS-TURN, unknown and client-certificate traffic through a real gateway and shows the sessions.
  --once   end after that instead of keeping the console up`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Exit codes: 0 every exchange went well, 1 one did not, 2 bad usage. */
export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } });
  if (values.help === true) {
    say(help);
    return 0;
  }
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
  try {
    const authority = await DemoAuthority.create();
    await writeFile(join(folder, 'internet.pem'), authority.root.cert);
    const loopback = await loopbackDemo(folder, authority, values.once === true);
    const redirected = process.getuid?.() === 0 ? await redirectDemo(folder, authority, say) : null;
    if (redirected === null) say('\nAs root the demo also runs through nftables REDIRECT, in network namespaces.');
    if (loopback.gateway !== null) await stayUp(loopback.gateway);
    return loopback.well && redirected !== false ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function loopbackDemo(folder: string, authority: DemoAuthority, once: boolean): Promise<{ well: boolean; gateway: Gateway | null }> {
  const peers = await startPeers({ https: anyPort, sips: anyPort, msTurn: anyPort, unknown: anyPort, clientCert: anyPort }, authority);
  const gateway = await gatewayOn(folder, !once && (await isFree(consolePort)) ? consolePort : 0);
  say('Through the explicit proxy, over loopback:');
  const proxyPort = gateway.ports['proxy'] ?? 0;
  const exchanges = await runClients({
    at: peers.at, dial: ({ port }) => throughProxy(proxyPort, port), gatewayCa: gateway.certificates.caPem,
    internetCa: authority.root.cert, clientIdentity: await authority.client('demo person'),
  });
  for (const line of exchangeLines(exchanges)) say(line);
  say('');
  for (const line of tableLines(await settled(gateway, exchanges.length), null)) say(line);
  await peers.close();
  if (once) await gateway.stop();
  return { well: exchanges.every(({ failure }) => failure === null), gateway: once ? null : gateway };
}

const consolePort = 9090;
const anyPort = { host: '127.0.0.1', port: 0 };

async function gatewayOn(folder: string, adminPort: number): Promise<Gateway> {
  const text = `
state: ${join(folder, 'state')}
workers: 0
tunnelOnError: true
admin: { listen: 127.0.0.1:${String(adminPort)} }
issuer: { crl: { listen: 127.0.0.1:${String(await freePort())} } }
services:
  - { name: proxy, type: http-explicit, listen: 127.0.0.1:0 }
policy:
  connection: [ { name: all, then: allow } ]
  ssl: [ { name: intercept, then: intercept, handoff: true, tunnelOnError: true, clientCert: tunnel } ]
  certificate: [ { name: bad, then: deny } ]
  protocol: [ { name: unknown, when: { protocol: [unknown, undetected] }, then: relay }, { name: known, then: handoff } ]
upstream: { ca: none, extraCa: [ ${join(folder, 'internet.pem')} ], allowLocal: true }
logging: { level: warn }
`;
  const fileName = join(folder, 'demo.yaml');
  const ready = readyConfig(loadConfig(text, fileName), fileName);
  if (!ready.ok) throw new Error(`the demo's config is broken: ${JSON.stringify(ready.faults)}`);
  return await startGateway({ ready, source: { text, fileName }, extraCa: [], activated: new Map(), log: createLogger('warn') });
}

/** The sessions once all of them have ended, or after a moment. */
async function settled(gateway: Gateway, wanted: number): Promise<readonly Session[]> {
  for (let tries = 0; ; tries += 1) {
    const { sessions } = await gateway.view.list('', 100, null);
    if (tries > 40 || (sessions.length >= wanted && sessions.every(({ state }) => state !== 'active'))) return sessions;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A connection to a local port through the gateway's CONNECT proxy. */
function throughProxy(proxyPort: number, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(proxyPort, '127.0.0.1');
    socket.once('error', reject);
    socket.write(`CONNECT 127.0.0.1:${String(port)} HTTP/1.1\r\nHost: 127.0.0.1:${String(port)}\r\n\r\n`);
    socket.once('readable', () => {
      const read: unknown = socket.read();
      const answer = Buffer.isBuffer(read) ? read : Buffer.alloc(0);
      socket.off('error', reject);
      const head = answer.indexOf('\r\n\r\n');
      if (answer.length > head + 4) socket.unshift(answer.subarray(head + 4));
      if (answer.toString('latin1').startsWith('HTTP/1.1 200')) resolve(socket);
      else reject(new Error(answer.toString('latin1').split('\r\n')[0]));
    });
  });
}

/** Certificates name the CRL's port, so it must be known before they are made. */
function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, '127.0.0.1');
    probe.once('connect', () => { probe.destroy(); resolve(false); });
    probe.once('error', () => resolve(true));
  });
}

async function stayUp(gateway: Gateway): Promise<void> {
  say(`\nThe console is at http://127.0.0.1:${String(gateway.adminPort)}/ ; Ctrl-C ends the demo.`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await gateway.stop();
}
