// Starts the web servers and clients of peers/ that are programs of our own around real HTTP, gRPC and WebSocket implementations.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeResult } from '../../../support/program.ts';
import type { Program } from '../../../support/program.ts';
import type { GrpcCalling, GrpcReport, GrpcServing } from '../../peers/grpc.ts';
import type { HostileAnswer, HostilePlan } from '../../peers/hostile-client.ts';
import type { NtlmRequest, NtlmServing } from '../../peers/ntlm-origin.ts';
import type { SlowPlan, SlowReport } from '../../peers/slow-clients.ts';
import type { WebOrigin } from '../../peers/web-origin.ts';
import type { WsReport, WsServing, WsTalking } from '../../peers/ws-echo.ts';
import type { CertFiles } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';
import type { ServerName } from '../names.ts';

const peer = (name: string): string => join(import.meta.dirname, '../../peers', `${name}.ts`);
const ready = { says: /^ready$/m, readyMs: 30_000 } as const;
const both = (server: ServerName): readonly string[] => [address(server).v4, address(server).v6];
const plainEchoPort = 8081;

/** Node's HTTP/1.1 and HTTP/2 server on `node`; repositories below `gitFolder` are /git/NAME. */
export function startWebOrigin(host: Host, tls: CertFiles, gitFolder: string): Promise<Program> {
  const plan: WebOrigin = { addresses: both('node'), ...tls, gitFolder };
  return host.spawn('web-origin', [process.execPath, peer('web-origin'), JSON.stringify(plan)], ready);
}

export function startGrpc(host: Host, tls: CertFiles): Promise<Program> {
  const { v4, v6 } = address('grpc');
  const plan: GrpcServing = { addresses: [`${v4}:443`, `[${v6}]:443`], ...tls };
  return host.spawn('grpc', [process.execPath, peer('grpc'), 'serve', JSON.stringify(plan)], ready);
}

export function callGrpc(host: Host, caFile: string): Promise<GrpcReport> {
  const plan: GrpcCalling = { address: `${address('grpc').name}:443`, caFile };
  return reportOf(host, [peer('grpc'), 'call', JSON.stringify(plan)]);
}

/** The ws package on `websocket`, and behind HAProxy, which speaks RFC 8441, on `websocket-h2`. */
export async function startWebSockets(host: Host, tls: CertFiles): Promise<void> {
  const plan: WsServing = { tls: both('websocket'), plain: plainEchoPort, ...tls };
  await host.spawn('ws-echo', [process.execPath, peer('ws-echo'), 'serve', JSON.stringify(plan)], ready);
  const pem = join(host.folder, 'haproxy.pem');
  writeFileSync(pem, readFileSync(tls.certFile, 'utf8') + readFileSync(tls.keyFile, 'utf8'), { mode: 0o600 });
  const { v4, v6 } = address('websocket-h2');
  const configuration = join(host.folder, 'haproxy.cfg');
  writeFileSync(configuration, `
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend front
  bind ${v4}:443 ssl crt ${pem} alpn h2,http/1.1
  bind ${v6}:443 ssl crt ${pem} alpn h2,http/1.1
  default_backend echo
backend echo
  server echo 127.0.0.1:${plainEchoPort}
`);
  await host.spawn('haproxy', ['haproxy', '-db', '-f', configuration], { listens: [`${v4}:443`, `[${v6}]:443`] });
}

export function talkWebSocket(host: Host, plan: WsTalking): Promise<WsReport> {
  return reportOf(host, [peer('ws-echo'), 'talk', JSON.stringify(plan)]);
}

/** The server with connection-bound logins; answers what it was asked so far. */
export async function startNtlm(host: Host, tls: CertFiles): Promise<{ requests(): NtlmRequest[]; waitFor(test: (requests: readonly NtlmRequest[]) => boolean, what: string): Promise<void> }> {
  const plan: NtlmServing = { address: address('ntlm').v4, ...tls };
  const program = await host.spawn('ntlm', [process.execPath, peer('ntlm-origin'), JSON.stringify(plan)], ready);
  const requests = (): NtlmRequest[] => program.output().split('\n').filter((line) => line.startsWith('{')).map((line): NtlmRequest => JSON.parse(line));
  return { requests, waitFor: (test, what) => program.waitUntil(() => test(requests()), what, 30_000) };
}

export function sendHostile(host: Host, plan: HostilePlan): Promise<HostileAnswer[]> {
  return reportOf(host, [peer('hostile-client'), JSON.stringify(plan)]);
}

/** Slow clients that are under way; `end` tells how many still were, and how many were lost. */
export async function startSlowClients(host: Host, plan: SlowPlan): Promise<{ end(): Promise<SlowReport> }> {
  const program = await host.spawn('slow-clients', [process.execPath, peer('slow-clients'), JSON.stringify(plan)], { says: /^slow$/m, readyMs: 60_000, input: true });
  return {
    async end() {
      program.write('\n');
      const [line] = await program.waitForOutput(/^\{.*\}$/m, 20_000);
      const report: SlowReport = JSON.parse(line);
      return report;
    },
  };
}

async function reportOf<T>(host: Host, command: readonly string[]): Promise<T> {
  const result = await host.run([process.execPath, ...command], { timeoutMs: 90_000 });
  if (result.code !== 0) throw new Error(describeResult(result));
  const report: T = JSON.parse(result.stdout);
  return report;
}
