// coturn as the TURN server of the lab, over TLS on 443, over plain TCP on 3478; and its own client.

import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import type { Program, RunResult } from '../../../support/program.ts';
import type { CertFiles } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';

const account = { user: 'turner', password: 'secret-of-turner', realm: 'lab.test' } as const;

/** Starts it on the `turns` address. */
export async function startCoturn(host: Host, { certFile, keyFile }: CertFiles): Promise<Program> {
  const { v4 } = address('turns');
  const home = join(host.folder, 'coturn');
  mkdirSync(home, { recursive: true });
  const command = [
    'turnserver', '-n', '-L', v4, '-E', v4, '--listening-port=3478', '--tls-listening-port=443', `--cert=${certFile}`, `--pkey=${keyFile}`,
    '--lt-cred-mech', `--user=${account.user}:${account.password}`, `--realm=${account.realm}`, '--no-cli', '--no-dtls', '--no-udp',
    '--no-rfc5780', `--userdb=${join(home, 'users.db')}`, `--pidfile=${join(home, 'pid')}`, '--log-file=stdout', '--verbose',
  ];
  return host.spawn('coturn', command, { listens: [`${v4}:443`, `${v4}:3478`], cwd: home, readyMs: 20_000 });
}

/** Starts it as a STUN server alone, over UDP, on the same address. */
export async function startStun(host: Host): Promise<Program> {
  const { v4 } = address('turns');
  const home = join(host.folder, 'stun');
  mkdirSync(home, { recursive: true });
  const command = ['turnserver', '-n', '--stun-only', '-L', v4, '--listening-port=3479', '--no-tcp', '--no-tls', '--no-dtls', '--no-cli', '--no-rfc5780', `--userdb=${join(home, 'users.db')}`, `--pidfile=${join(home, 'pid')}`, '--log-file=stdout'];
  return host.spawn('stun', command, { says: /admin thread/, cwd: home, readyMs: 20_000 });
}

/**
 * coturn's client: two allocations that send `messages` datagrams each to the other through the server. Over TLS it sends no SNI, offers
 * `http/1.1, stun.turn, stun.nat-discovery` as ALPN and takes any certificate. It loses datagrams that share a read with another one,
 * also without a gateway between: hence 100 ms from one to the next.
 */
export function runTurnClient(host: Host, options: { readonly tls: boolean; readonly messages: number; /** Send indications in place of channels. */ readonly send?: boolean }): Promise<RunResult> {
  const secure = options.tls ? ['-S', '-p', '443'] : ['-p', '3478'];
  return host.run([
    'turnutils_uclient', '-t', ...secure, ...(options.send === true ? ['-s'] : []), '-y', '-c', '-z', '100', '-n', String(options.messages), '-u', account.user, '-w', account.password,
    address('turns').v4,
  ], { timeoutMs: 60_000 });
}

/** What the server says it received and sent, of clients' messages and of peers' datagrams. */
export interface ServedCounts {
  readonly fromClients: number;
  readonly toClients: number;
  readonly fromPeers: number;
  readonly toPeers: number;
}

/** Sums what the server's log, from `from` on, says of sessions that have ended; waits until there are `count`. */
export async function servedCounts(coturn: Program, from: number, count: number): Promise<ServedCounts> {
  const usages = (kind: RegExp): [number, number][] => [...coturn.output().slice(from).matchAll(kind)].map(([, received, sent]) => [Number(received), Number(sent)]);
  const [ofClients, ofPeers] = [/: usage: .* rp=(\d+), .* sp=(\d+),/g, /: peer usage: .* rp=(\d+), .* sp=(\d+),/g];
  await coturn.waitUntil(() => usages(ofPeers).length >= count, `tell of ${count} sessions`);
  const sum = (kind: RegExp, column: 0 | 1): number => usages(kind).reduce((total, usage) => total + usage[column], 0);
  return { fromClients: sum(ofClients, 0), toClients: sum(ofClients, 1), fromPeers: sum(ofPeers, 0), toPeers: sum(ofPeers, 1) };
}

/** What it says it sent and received over all its allocations. */
export function datagrams({ stdout }: RunResult): { readonly sent: number; readonly received: number } {
  const last = [...stdout.matchAll(/tot_send_msgs=(\d+), tot_recv_msgs=(\d+)/g)].at(-1);
  return { sent: Number(last?.[1] ?? 0), received: Number(last?.[2] ?? 0) };
}

/** Whether every datagram came back: `tot_send_msgs=N, tot_recv_msgs=N` with N above zero, and none lost. */
export function allReturned(result: RunResult): boolean {
  const { sent, received } = datagrams(result);
  return result.code === 0 && sent > 0 && sent === received && result.stdout.includes('Total lost packets 0 ');
}
