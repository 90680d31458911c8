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

/** Makes `calls` calls one after another and side by side; code 0 when all of them succeeded. */
export function runSippCalls(host: Host, calls: number): Promise<RunResult> {
  return host.run([
    'sipp', '-sn', 'uac', '-t', 't1', '-i', '127.0.0.1', '-m', String(calls), '-r', '50', '-l', '20', '-d', '20', '-nostdin', '-skip_rlimit',
    '-timeout', '60s', '-timeout_error', '-trace_err', `127.0.0.1:${sippPorts.client}`,
  ], { timeoutMs: 90_000, cwd: workFolder(host) });
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
