// Joins the commands that work with a config (net, doctor, sessions, learned, ca) with the loaded file: what each needs as plain data.

import { revocationHosts } from '../certificate-options.ts';
import { systemTools } from '../net/apply.ts';
import { netPlan } from '../net/plan.ts';
import { readConfig, takeConfig } from './config-file.ts';
import { run as doctor } from './doctor.ts';
import { run as learned } from './learned.ts';
import { run as net } from './net.ts';
import { run as sessions } from './sessions.ts';
import type { SessionsCommandOptions } from './sessions.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/** How long nft and ip may take. */
const toolMs = 10_000;

export async function runNet(args: string[]): Promise<number> {
  const { file, rest } = takeConfig(args);
  const config = await readConfig(file, false);
  if (config === null) return 2;
  return await net(rest, { services: config.ready.config.services, tools: systemTools(toolMs), print, complain });
}

export async function runDoctor(args: string[]): Promise<number> {
  const { file, rest } = takeConfig(args);
  const read = await readConfig(file, false);
  if (read === null) return 2;
  const { config } = read.ready;
  const crlUrls = config.issuer.crl.enabled ? revocationHosts(config).map((host) => `http://${host}/ssl/crl/issuer_CA.crl`) : [];
  return await doctor(rest, {
    wants: {
      plan: netPlan(config.services), caFile: config.issuer.cert, crlUrls, dnsServers: config.upstream.dns, stunServer: null,
      sessionsMax: config.limits.sessionsMax,
    },
    tools: systemTools(toolMs), probeMs: config.limits.doctorProbeMs, print, complain,
  });
}

export async function runSessions(args: string[]): Promise<number> {
  return await askGateway(args, sessions);
}

export async function runLearned(args: string[]): Promise<number> {
  return await askGateway(args, learned);
}

/** Runs a command that asks the gateway of a config through its admin listener. */
async function askGateway(args: string[], command: (rest: readonly string[], options: SessionsCommandOptions) => Promise<number>): Promise<number> {
  const { file, rest } = takeConfig(args);
  const read = await readConfig(file, false);
  if (read === null) return 2;
  const { listen, tokenFile } = read.ready.config.admin;
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.stdout.once('error', () => stop.abort());
  const admin = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${String(listen.port)}`;
  return await command(rest, { admin, tokenFile, stdout: process.stdout, stderr: process.stderr, signal: stop.signal });
}

export async function runCa(args: string[]): Promise<number> {
  const { file, rest } = takeConfig(args);
  const read = await readConfig(file, false);
  if (read === null) return 2;
  const { run: ca } = await import('./ca.ts');
  return await ca(rest, { config: read.ready.config, print, complain });
}
