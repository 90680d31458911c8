// A whole way of one service in this process for tests: real listener, serve, conduct, policy from YAML, dialler and certificates. Only
// the kernel's part of a transparent service (where the client meant to go) is replaced by a fixed destination.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readyConfig } from '../../../src/commands/policy.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { openCertificates } from '../../../src/certs/open.ts';
import type { Certificates } from '../../../src/certs/open.ts';
import type { LeafRequest, UpstreamTrust } from '../../../src/core/certificates.ts';
import type { Session } from '../../../src/core/session.ts';
import type { Limits, LimitName } from '../../../src/core/limits.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import pino from 'pino';
import { silentLogger } from '../../../src/core/log.ts';
import type { Logger } from '../../../src/core/log.ts';
import type { Meter } from '../../../src/core/meters.ts';
import { noMeter } from '../../../src/core/meters.ts';
import { Dialer } from '../../../src/handoff/dial.ts';
import { noteDialled, serve } from '../../../src/handoff/serve.ts';
import type { Service } from '../../../src/handoff/serve.ts';
import { Admission } from '../../../src/listener/admission.ts';
import { listen } from '../../../src/listener/listener.ts';
import { SessionTable } from '../../../src/sessions/table.ts';
import { readTrust } from '../../../src/trust.ts';
import { makeRoot } from '../../support/certs.ts';

export const serverRoot = makeRoot('Servers');
export const untrustedRoot = makeRoot('Nobody trusts this');

export interface World {
  readonly certificates: Certificates;
  readonly trust: UpstreamTrust;
  /** What clients of the gateway must trust. */
  readonly caPem: string;
}

/** Certificates and trust, once for a test file. */
export async function openWorld(): Promise<World> {
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  const rootFile = join(stateDir, 'servers.pem');
  writeFileSync(rootFile, serverRoot.certPem);
  const certificates = await openCertificates({
    stateDir, primary: true, limits: limitsWith(), meter: noMeter, log: silentLogger, clock: Date.now,
    issuer: {
      cert: join(stateDir, 'ca.pem'), key: join(stateDir, 'ca.key'), leafKey: 'auto', crl: { enabled: false, hosts: [], days: 30 },
      ocsp: { enabled: false, staple: false },
    },
  });
  const trust = readTrust({ ca: 'none', extraCa: [rootFile], minVersion: 'TLSv1.2', clientCerts: [], proxy: null, dns: [], allowLocal: true }, [], certificates.issuerPems());
  return { certificates, trust, caPem: certificates.caPem };
}

export interface GatewayOptions {
  /** The `policy` of a config, YAML in flow or block style, indented by two. */
  readonly policy?: string;
  readonly type?: 'ssl' | 'http' | 'tcp-tunnel';
  readonly detectProtocol?: string;
  readonly tunnelOnError?: string;
  readonly limits?: Partial<Record<LimitName, number>>;
  readonly destination: Service['destination'];
  readonly allowLocal?: boolean;
  readonly certFor?: (request: LeafRequest) => ReturnType<Certificates['certFor']>;
}

export interface TestGateway {
  readonly port: number;
  /** All sessions in order of opening. */
  readonly sessions: Session[];
  /** Every count of the meter: `name label,label` to number. */
  readonly counts: Map<string, number>;
  /** What was logged as an error. */
  readonly defects: string[];
  readonly table: SessionTable;
  /** Accepted and dialled sockets that are not closed. */
  open(): number;
  /** The n-th session once it has ended. */
  ended(count?: number): Promise<Session>;
  /** Resolves when no socket of the gateway is open; rejects after `withinMs`. */
  quiet(withinMs?: number): Promise<void>;
  close(): Promise<void>;
}

const quick: Partial<Record<LimitName, number>> = { detectRaceMs: 60, detectMs: 300, detectSilenceMs: 500, lingerMs: 300, halfOpenMs: 2_000, pseudoHelloMs: 300 };

export async function startGateway(world: World, options: GatewayOptions): Promise<TestGateway> {
  const limits: Limits = limitsWith({ ...quick, ...options.limits });
  const policy = policyOf(options);
  const sessions: Session[] = [];
  const sockets = new Set<Socket>();
  const counts = new Map<string, number>();
  const defects: string[] = [];
  const meter: Meter = { add: (name, labels = [], step = 1) => void counts.set(`${name} ${labels.join()}`, (counts.get(`${name} ${labels.join()}`) ?? 0) + step), set() {}, observe() {} };
  const table = new SessionTable({ worker: 't', limits, meter });
  const dialer = new Dialer({
    limits, ownPorts: new Set(), allowLocal: options.allowLocal ?? true, transparentServices: new Set(['test']), clock: Date.now,
  });
  const service: Service = {
    name: 'test', destination: options.destination, table: noting(table, sessions), admission: new Admission(limits, 1, null),
    deps: {
      limits, meter, policy, log: collecting(defects), trust: world.trust, serviceType: options.type ?? 'tcp-tunnel', clock: Date.now,
      revocation: world.certificates.revocation,
      certFor: options.certFor ?? ((request) => world.certificates.certFor(request)),
      protocolChanged: (session) => table.protocolChanged(session),
      async dial(flow) {
        const socket = await dialer.dial(flow);
        watch(socket);
        noteDialled(flow.session, socket);
        return socket;
      },
      async dialEarly(session) {
        const socket = await dialer.early(session);
        watch(socket);
        return socket;
      },
      dropEarly: (session) => dialer.drop(session),
      noteRefusal() {},
      noteAccepted() {},
    },
  };
  const watch = (socket: Socket): void => {
    if (sockets.has(socket) || socket.destroyed) return;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const listening = await listen({ host: '127.0.0.1', port: 0, backlog: 128, reusePort: false, transparent: false }, (socket) => {
    watch(socket);
    void serve(socket, service);
  });
  const until = async (test: () => boolean, withinMs: number, what: () => string): Promise<void> => {
    const end = Date.now() + withinMs;
    while (!test()) {
      if (Date.now() > end) throw new Error(`not within ${String(withinMs)} ms: ${what()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return {
    port: listening.port, sessions, counts, defects, table, open: () => sockets.size,
    async ended(count = 1) {
      await until(() => (sessions[count - 1]?.endedAt ?? null) !== null, 10_000, () => `session ${String(count)} has not ended: ${JSON.stringify(sessions[count - 1] ?? null)}`);
      const session = sessions[count - 1];
      if (session === undefined) throw new Error('unreachable');
      return session;
    },
    quiet: (withinMs = 4_000) => until(() => sockets.size === 0 && table.active === 0, withinMs, () => `${String(sockets.size)} sockets open, ${String(table.active)} sessions`),
    async close() {
      for (const socket of sockets) socket.destroy();
      await listening.close();
    },
  };
}

function policyOf(options: GatewayOptions): ReturnType<typeof policyFrom> {
  const type = options.type ?? 'tcp-tunnel';
  return policyFrom(`
services:
  - { name: test, type: ${type}, listen: '127.0.0.1:1'${type === 'tcp-tunnel' ? ", to: '127.0.0.1:1'" : ''}, detectProtocol: ${options.detectProtocol ?? 'true'} }
tunnelOnError: ${options.tunnelOnError ?? 'false'}
policy:
  ${options.policy ?? 'ssl: [ { then: intercept } ]'}
`);
}

function policyFrom(text: string) {
  const ready = readyConfig(loadConfig(text, 'test.yaml'), 'test.yaml');
  if (!ready.ok) throw new Error(JSON.stringify(ready.faults));
  return ready.policy;
}

/** The table itself, with every session it opens noted. */
function noting(table: SessionTable, sessions: Session[]): SessionTable {
  const open = table.open.bind(table);
  table.open = (init, live) => {
    const session = open(init, live);
    sessions.push(session);
    return session;
  };
  return table;
}

function collecting(defects: string[]): Logger {
  return pino({ level: 'error' }, { write: (line: string) => void defects.push(line) });
}

export interface TestServer {
  readonly port: number;
  /** The TCP connections that are open. */
  readonly sockets: Set<Socket>;
  /** Connections accepted so far. */
  accepted: number;
  close(): Promise<void>;
}

/** A server of loopback whose sockets allow half-close and whose errors are nobody's business; `wrap` makes one that speaks TLS. */
export async function tcpServer(serveSocket: (socket: Socket) => void, wrap?: (accept: (socket: Socket) => void) => Server): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const accept = (socket: Socket): void => {
    socket.on('error', () => {});
    serveSocket(socket);
  };
  const server = wrap?.(accept) ?? createServer({ allowHalfOpen: true, noDelay: true }, accept);
  server.on('connection', (socket: Socket) => {
    running.accepted += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const running: TestServer = {
    port: (server.address() as AddressInfo).port, sockets, accepted: 0,
    close: () => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    }),
  };
  return running;
}
