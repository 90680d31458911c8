// SIPp inside stunnel on both sides: calls over TLS through the lab. (Debian's SIPp is built without TLS; the tunnels also give
// plain text at both ends, so that both ends can be compared byte for byte.)

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program, RunResult } from '../../../support/program.ts';
import type { CertFiles } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';

/** Ports of the plain text on the loopback of each host. */
export const sippPorts = { client: 5060, server: 5070 } as const;

/** The answering side: stunnel on 5061 of `sipp`, SIPp behind it. */
export async function startSippServer(host: Host, { certFile, keyFile }: CertFiles): Promise<void> {
  const { v4, v6 } = address('sipp');
  const home = workFolder(host);
  await host.spawn('sipp-uas', [
    'sipp', '-sn', 'uas', '-t', 't1', '-i', '127.0.0.1', '-p', String(sippPorts.server), '-nostdin', '-skip_rlimit',
  ], { listens: [`127.0.0.1:${sippPorts.server}`], cwd: home });
  const services = [v4, v6].map((ip, index) => [
    `[sips${index}]`, `accept = ${ip}:5061`, `connect = 127.0.0.1:${sippPorts.server}`, `cert = ${certFile}`, `key = ${keyFile}`,
  ]);
  await startStunnel(host, 'stunnel-server', services.flat(), [`${v4}:5061`, `[${v6}]:5061`]);
}

/** The calling side's stunnel, until it is stopped; it trusts only `rootFile` and checks the name. */
export function startSippTunnel(host: Host, rootFile: string): Promise<Program> {
  const { name } = address('sipp');
  return startStunnel(host, 'stunnel-client', [
    '[sips]', 'client = yes', `accept = 127.0.0.1:${sippPorts.client}`, `connect = ${name}:5061`,
    `CAfile = ${rootFile}`, 'verifyChain = yes', `checkHost = ${name}`, `sni = ${name}`,
  ], [`127.0.0.1:${sippPorts.client}`]);
}

/** The answering side without TLS, on 5061 of `plain`. */
export function startPlainSippServer(host: Host): Promise<Program> {
  const { v4 } = address('plain');
  return host.spawn('sipp-uas-plain', ['sipp', '-sn', 'uas', '-t', 't1', '-i', v4, '-p', '5061', '-nostdin', '-skip_rlimit'], { listens: [`${v4}:5061`], cwd: workFolder(host) });
}

export interface CallOptions {
  /** Calls begun each second, and at most at a time. */
  readonly rate?: number;
  readonly atATime?: number;
  /** Straight to the plain server, from this address, in place of the tunnel. */
  readonly plainFrom?: string;
}

/** Makes `calls` calls on one connection; code 0 when all of them succeeded. */
export function runSippCalls(host: Host, calls: number, { rate = 50, atATime = 20, plainFrom }: CallOptions = {}): Promise<RunResult> {
  const seconds = Math.ceil(calls / rate) + 60;
  const target = plainFrom === undefined ? `127.0.0.1:${sippPorts.client}` : `${address('plain').v4}:5061`;
  return host.run([
    'sipp', '-sn', 'uac', '-t', 't1', '-i', plainFrom ?? '127.0.0.1', '-m', String(calls), '-r', String(rate), '-l', String(atATime), '-d', '20', '-nostdin', '-skip_rlimit',
    '-timeout', `${seconds}s`, '-timeout_error', '-trace_err', target,
  ], { timeoutMs: (seconds + 30) * 1000, cwd: workFolder(host) });
}

/** What SIPp says it sent (methods) and received (statuses), off its closing screen; retransmissions count as further messages. */
export function sippCounts({ stdout }: RunResult): { readonly methods: Record<string, number>; readonly statuses: Record<string, number> } {
  const counts = { methods: new Map<string, number>(), statuses: new Map<string, number>() };
  const screen = stdout.slice(Math.max(0, stdout.lastIndexOf('Scenario Screen')));
  for (const [, name = '', messages = '0', again = '0'] of screen.matchAll(/^\s*([A-Z]+|\d{3}) (?:---------->|<----------)(?:\s+[BE]-RTD\d)?\s+(\d+)\s+(\d+)/gm)) {
    const table = /^\d/.test(name) ? counts.statuses : counts.methods;
    const total = (table.get(name) ?? 0) + Number(messages) + Number(again);
    if (total > 0) table.set(name, total);
  }
  return { methods: Object.fromEntries(counts.methods), statuses: Object.fromEntries(counts.statuses) };
}

/** Reads `Successful call` (cumulative) off SIPp's closing screen. */
export function successfulCalls({ stdout }: RunResult): number {
  const last = [...stdout.matchAll(/Successful call\s*\|\s*\d+\s*\|\s*(\d+)/g)].at(-1);
  return Number(last?.[1] ?? 0);
}

/** Starts stunnel in the foreground with these service lines; it checks no revocation and keeps no pid file. */
function startStunnel(host: Host, label: string, services: readonly string[], listens: readonly string[]): Promise<Program> {
  const file = join(host.folder, `${label}.conf`);
  writeFileSync(file, ['foreground = yes', 'pid =', 'debug = 5', 'syslog = no', ...services, ''].join('\n'));
  return host.spawn(label, ['stunnel4', file], { listens });
}

function workFolder(host: Host): string {
  const folder = join(host.folder, 'sipp');
  mkdirSync(folder, { recursive: true });
  return folder;
}
