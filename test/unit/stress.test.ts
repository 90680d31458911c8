// Many flows with a random end at a random moment, through a whole data plane: nothing may be a defect, nothing may stay open.

import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { expect, test } from 'vitest';
import { certificateOptions } from '../../src/certificate-options.ts';
import { openCertificates } from '../../src/certs/open.ts';
import { readyConfig } from '../../src/commands/policy.ts';
import { loadConfig } from '../../src/config/load.ts';
import { watchedCount } from '../../src/core/idle.ts';
import { createLogger } from '../../src/core/log.ts';
import { meterFor, startDataPlane } from '../../src/data-plane.ts';
import { readTrust } from '../../src/trust.ts';
import { issueServer, makeRoot } from '../support/certs.ts';
import { helloBytes, helloFiles } from '../support/client-hellos.ts';
import { socketPair } from '../support/pair.ts';
import { tcpServer } from './handoff/support.ts';
import type { TestServer } from './handoff/support.ts';

/** How long new flows are begun. */
const runMs = 8_000;
const atOnce = 40;
const seed = 20_261_123;

let state = seed;
/** Numbers that look random; the order of events is the machine's all the same. */
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}
function one<T>(choices: readonly T[]): T {
  const chosen = choices[Math.floor(random() * choices.length)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What a peer may do to its socket at any moment. */
function misbehave(socket: Socket): void {
  const act = one([
    (): void => void socket.destroy(),
    (): void => void socket.end(),
    (): void => void socket.end(Buffer.alloc(Math.floor(random() * 100_000), 'x')),
    (): void => void socket.pause(),
    (): void => {
      if (socket instanceof Object && !('encrypted' in socket)) socket.resetAndDestroy();
      else socket.destroy();
    },
    (): void => void socket.write(Buffer.alloc(Math.floor(random() * 300_000), 'y')),
  ]);
  if (!socket.destroyed && socket.writable) act();
}

function chaotic(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => {
    if (socket.writable) socket.write(chunk);
    if (random() < 0.1) misbehave(socket);
  });
  socket.on('end', () => (random() < 0.8 ? void socket.end() : undefined));
  if (random() < 0.1) socket.write('220 ready\r\n');
  if (random() < 0.3) setTimeout(() => misbehave(socket), random() * 400);
  // Nobody stays for ever.
  setTimeout(() => socket.destroy(), 1_500);
}

const get = 'GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n';
const firstBytes: (string | Buffer)[] = [
  get, 'GET / HT', 'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1000\r\n\r\nabc', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'OPTIONS sip:a@site.test SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n', Buffer.alloc(70_000, 0xff), Buffer.from([0x16]), '',
  Buffer.concat([Buffer.from('160301002d010000290301', 'hex'), Buffer.alloc(32, 7), Buffer.from('00000200180100', 'hex')]),
  Buffer.concat([Buffer.from('160301002f0100002b0301', 'hex'), Buffer.alloc(32, 7), Buffer.from('000004000400050100', 'hex')]),
  Buffer.from('000100002112a442000102030405060708090a0b', 'hex'), ...helloFiles.slice(0, 4).map(helloBytes),
];

async function client(port: number, how: 'plain' | 'tls' | 'connect' | 'socks', target: number, caPem: string): Promise<void> {
  const raw = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  raw.on('error', () => {});
  const closed = new Promise<void>((resolve) => raw.once('close', () => resolve()));
  setTimeout(() => misbehave(raw), random() * 700);
  setTimeout(() => raw.destroy(), 2_000);
  let speaks: Socket = raw;
  await Promise.race([once(raw, 'connect').catch(() => {}), closed]);
  if (raw.destroyed || !raw.writable) return await closed;
  if (how === 'connect') raw.write(`CONNECT 127.0.0.1:${String(target)} HTTP/1.1\r\nHost: 127.0.0.1:${String(target)}\r\n\r\n`);
  if (how === 'socks') raw.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target & 0xff]));
  if (how === 'connect' || how === 'socks') {
    await Promise.race([pause(random() * 100), closed]);
    raw.read();
  }
  if (how === 'tls' || (how !== 'plain' && random() < 0.6)) {
    speaks = connectTls({
      socket: raw, servername: one(['site.test', 'other.test', '']), rejectUnauthorized: random() < 0.3, ca: caPem,
      ...one([{}, { maxVersion: 'TLSv1.2' as const }, { ALPNProtocols: ['h2', 'http/1.1'] }, { ALPNProtocols: ['http/1.1'] }]),
    });
    speaks.on('error', () => {});
    if (random() < 0.5) await Promise.race([once(speaks, 'secureConnect').catch(() => {}), closed]);
  }
  speaks.on('data', () => {});
  if (speaks.writable) speaks.write(one(firstBytes));
  if (random() < 0.3) setTimeout(() => misbehave(speaks), random() * 300);
  await closed;
}

/** A port that nobody has. Another process may take it before it is used: then the data plane says so. */
async function freePort(): Promise<number> {
  const server = await tcpServer(() => {});
  await server.close();
  return server.port;
}

function handles(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) if (/TCP|TLS|Pipe/.test(name)) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

test('flows that end anyhow at any time leave no session, no socket, no defect', { timeout: 60_000 }, async () => {
  // What a first connection opens for good belongs to the state before.
  (await socketPair()).destroy();
  await pause(50);
  const before = handles();
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-stress-'));
  const root = makeRoot('Servers');
  writeFileSync(join(stateDir, 'servers.pem'), root.certPem);
  const good = issueServer(root, { names: ['site.test'] });
  const bad = issueServer(null, { names: ['site.test'] });
  const secure = (cert: typeof good, options: object = {}) => (accept: (socket: Socket) => void) =>
    createTlsServer({ cert: cert.chainPem, key: cert.keyPem, ...options }, accept).on('tlsClientError', (_error, socket) => void socket.destroy());
  const h2 = createSecureServer({ cert: good.chainPem, key: good.keyPem, allowHTTP1: true }, (_request, response) => void response.end('hello'));
  h2.on('sessionError', () => {}).on('tlsClientError', () => {});
  const servers: TestServer[] = [
    await tcpServer(chaotic), await tcpServer(chaotic, secure(good)), await tcpServer(chaotic, secure(bad)),
    await tcpServer(chaotic, secure(good, { requestCert: true, rejectUnauthorized: true, ca: root.certPem })), await tcpServer(() => {}, () => h2),
  ];
  const ports = await Promise.all(Array.from({ length: servers.length + 4 }, freePort));
  const [proxy = 0, socks = 0, admin = 0, crl = 0] = ports.slice(servers.length);
  const text = `
state: ${stateDir}
tunnelOnError: true
admin: { listen: '127.0.0.1:${String(admin)}' }
issuer: { crl: { listen: '127.0.0.1:${String(crl)}' } }
services:
${servers.map((server, index) => `  - { name: s${String(index)}, type: tcp-tunnel, listen: '127.0.0.1:${String(ports[index])}', to: '127.0.0.1:${String(server.port)}' }`).join('\n')}
  - { name: proxy, type: http-explicit, listen: '127.0.0.1:${String(proxy)}' }
  - { name: socks, type: socks, listen: '127.0.0.1:${String(socks)}' }
upstream: { ca: none, extraCa: ['${join(stateDir, 'servers.pem')}'], allowLocal: true }
policy:
  ssl: [ { when: { sni: other.test }, then: intercept, tunnelOnError: false, clientCert: deny }, { then: intercept } ]
limits: { detectRaceMs: 50, detectMs: 300, detectSilenceMs: 600, lingerMs: 300, halfOpenMs: 1000, relayIdleMs: 2000, httpIdleMs: 2000, sipIdleMs: 2000, turnIdleMs: 2000,
  upstreamHandshakeMs: 1000, clientHandshakeMs: 1000, pseudoHelloMs: 300, socksMs: 1000, httpHeadMs: 2000, shutdownGraceMs: 5000 }
`;
  const ready = readyConfig(loadConfig(text, 'stress.yaml'), 'stress.yaml');
  if (!ready.ok) throw new Error(JSON.stringify(ready.faults));
  const { config, policy } = ready;
  const registry = meterFor(config, 'stress');
  const log = createLogger('error');
  const certificates = await openCertificates(certificateOptions(config, registry, log, true));
  const trust = readTrust(config.upstream, [], certificates.issuerPems());
  const plane = await startDataPlane({ config, policy, certificates, trust, registry, log, worker: 'stress', workers: 1, pool: null, history: null, earlier: [], activated: new Map() });

  const until = Date.now() + runMs;
  let begun = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (Date.now() < until) {
      begun += 1;
      const index = Math.floor(random() * servers.length);
      const target = servers[index]?.port ?? 0;
      const way = one(['plain', 'tls', 'tls', 'tls', 'connect', 'socks'] as const);
      await client(way === 'connect' ? proxy : way === 'socks' ? socks : (ports[index] ?? 0), way, target, certificates.caPem);
    }
  }));
  const quietBy = Date.now() + 6_000;
  let summary = await plane.view.summary();
  while (summary.active > 0 && Date.now() < quietBy) {
    await pause(50);
    summary = await plane.view.summary();
  }
  const stuck = (await plane.view.list('state=active', 20, null)).sessions;
  expect(stuck.map(({ protocol, chain, action, note, service }) => ({ service, protocol, chain, action, note }))).toEqual([]);
  expect(begun).toBeGreaterThan(atOnce * 2);
  expect(summary.byError['INTERNAL'] ?? 0).toBe(0);
  const defects = (await registry.read()).find(({ name }) => name === 'sallyport_internal_errors_total');
  expect(JSON.stringify(defects?.values ?? [])).not.toMatch(/"value":[1-9]/);
  // The run met what it is for: flows that ended well, tunnels on error, and failures of many kinds.
  expect(Object.keys(summary.byError).length).toBeGreaterThan(8);
  expect(summary.byAction['tunnel'] ?? 0).toBeGreaterThan(0);
  expect(summary.byAction['intercept'] ?? 0).toBeGreaterThan(0);
  expect(watchedCount()).toBe(0);

  await plane.drain();
  await certificates.close();
  for (const server of servers) await server.close();
  for (let waits = 0; waits < 100 && JSON.stringify(handles()) !== JSON.stringify(before); waits += 1) await pause(30);
  expect(handles()).toEqual(before);
});
