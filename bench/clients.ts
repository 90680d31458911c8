// Runs the client programs of the benches in the client host and reads what they say. A load that is not whole throws: it is no figure.

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { network } from '../test/lab/support/names.ts';
import type { Program } from '../test/support/program.ts';
import { parseReport } from './load-plan.ts';
import type { EchoLoad, Load, LoadReport, PageLoad } from './load-plan.ts';
import { withManyFiles } from './many-files.ts';
import { coldName, origins, pageBytes } from './origins.ts';
import type { Origin } from './origins.ts';
import type { Instance } from './peers/peer.ts';
import type { Site } from './site.ts';

/** Connections open at a time while handshakes are counted. */
const handshakesAtOnce = 8;
/** Longest time for any one load; a proxy that needs longer did not finish. */
const loadMs = 180_000;
const graceMs = 30_000;
const messageBytes = 64;

const [clientAddress] = network.clients;

function pages({ v4, name }: Origin, kind: PageLoad['kind'], count: number, atOnce = handshakesAtOnce): PageLoad {
  return { kind, host: v4, name, port: 443, path: '/page', pageBytes, count, atOnce, firstNumber: 0, from: [clientAddress], timeMs: loadMs };
}

/** New connections, each with one page. */
export function handshakes(site: Site, origin: Origin, count: number): Promise<LoadReport> {
  return load(site, pages(origin, 'handshakes', count));
}

/** The same, each taking up the session of one before it. */
export function resumptions(site: Site, origin: Origin, count: number): Promise<LoadReport> {
  return load(site, pages(origin, 'resumed', count));
}

/** Names that were not asked for before, from number `first` on. */
export function coldVisits(site: Site, first: number, count: number, atOnce: number): Promise<LoadReport> {
  site.origin.makeCold(first, first + count);
  return load(site, { ...pages({ ...origins.cold, name: coldName(0).replace('0', '#') }, 'handshakes', count, atOnce), firstNumber: first });
}

/** Opens connections that stay until the program is stopped, from all of the client host's addresses. */
export async function hold({ lab }: Site, count: number): Promise<Program> {
  const plan: PageLoad = { ...pages(origins.plain, 'hold', count), from: network.clients };
  const program = await lab.client.spawn('hold', withManyFiles([process.execPath, script(plan), JSON.stringify(plan)]), { input: true });
  try {
    await program.waitForOutput(/^\{.*\}$/m, loadMs + graceMs);
    whole(parseReport(program.output()));
    return program;
  } catch (caught) {
    await program.stop();
    throw caught;
  }
}

/** WebSocket messages and their echoes. */
export function echoes(site: Site, connections: number, seconds: number): Promise<LoadReport> {
  const plan: EchoLoad = {
    kind: 'echo', host: origins.echo.v4, name: origins.echo.name, port: 443, path: '/echo', from: [clientAddress], messageBytes, atOnce: connections, timeMs: seconds * 1000,
  };
  return load(site, plan);
}

async function load({ lab }: Site, plan: Load): Promise<LoadReport> {
  return whole(parseReport(await lab.client.mustRun([process.execPath, script(plan), JSON.stringify(plan)], { timeoutMs: plan.timeMs + graceMs })));
}

function script({ kind }: Load): string {
  return join(import.meta.dirname, kind === 'echo' ? 'echo-load.ts' : 'load.ts');
}

function whole(report: LoadReport | null): LoadReport {
  if (report === null) throw new Error('the client gave no report');
  if (report.failed > 0 || report.done === 0) throw new Error(`${String(report.failed)} of ${String(report.done + report.failed)} failed: ${report.reasons.join('; ')}`);
  return report;
}

/** Requests done, and how many a second. */
export interface Requests {
  readonly requests: number;
  readonly perSecond: number;
}

/** HTTP/1.1 requests on held connections. */
export async function wrk({ lab }: Site, connections: number, seconds: number): Promise<Requests> {
  const command = ['wrk', '-t', '1', '-c', String(connections), '-d', `${String(seconds)}s`, '--timeout', '10s', pageUrl(origins.plain)];
  return parseWrk(await lab.client.mustRun(command, { timeoutMs: seconds * 1000 + graceMs }));
}

/** Requests of a run of wrk; throws when some failed, or none came. */
export function parseWrk(output: string): Requests {
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? NaN);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1] ?? NaN);
  const trouble = /^\s*(Socket errors:.*|Non-2xx or 3xx responses:.*)$/m.exec(output)?.[1];
  if (trouble !== undefined) throw new Error(trouble);
  if (!(requests > 0)) throw new Error(`no requests: ${output.trim().slice(0, 200)}`);
  return { requests, perSecond };
}

/** Requests by h2load: HTTP/2 with `streams` at a time on each connection, or HTTP/1.1 one by one when `streams` is null. */
export async function h2load({ lab }: Site, connections: number, streams: number | null, seconds: number): Promise<Requests> {
  const protocol = streams === null ? ['--h1', pageUrl(origins.plain)] : ['-m', String(streams), pageUrl(origins.http2)];
  // Its only way to end by time; what happens in the second before is not counted.
  const command = ['h2load', '-t', '1', '-c', String(connections), '-D', String(seconds), ...protocol];
  return parseH2load(await lab.client.mustRun(command, { timeoutMs: seconds * 1000 + graceMs }), streams === null ? 'http/1.1' : 'h2');
}

/** Requests of a run of h2load; throws when some failed, none came, or another protocol was spoken. */
export function parseH2load(output: string, protocol: 'h2' | 'http/1.1'): Requests {
  const spoken = /^Application protocol: (\S+)$/m.exec(output)?.[1];
  if (spoken !== protocol) throw new Error(spoken === undefined ? `no requests: ${output.trim().slice(-200)}` : `spoke ${spoken}`);
  const [succeeded, failed, errored, timedOut] = (/(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output) ?? []).slice(1).map(Number);
  const [ok] = (/^status codes: (\d+) 2xx/m.exec(output) ?? []).slice(1).map(Number);
  if (!(succeeded !== undefined && succeeded > 0) || ok === undefined) throw new Error('no requests');
  if (failed !== 0 || errored !== 0 || timedOut !== 0 || ok < succeeded) throw new Error(/^requests: .*$/m.exec(output)?.[0] ?? 'requests failed');
  return { requests: succeeded, perSecond: Number(/, ([\d.]+) req\/s/.exec(output)?.[1] ?? NaN) };
}

/** Seconds that one download of the large file took; throws when it is not whole. */
export async function download({ lab, origin }: Site): Promise<number> {
  const output = await lab.client.mustRun([...curl, '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{time_total}', `https://${origins.plain.name}/big`], { timeoutMs: loadMs });
  const [status, bytes, seconds] = output.split(' ').map(Number);
  if (status !== 200 || bytes !== origin.bulkBytes || seconds === undefined) throw new Error(`the download ended as ${output}`);
  return seconds;
}

/** Seconds that one upload of the large file took; throws when not every byte of it arrived. */
export async function upload({ lab, origin }: Site): Promise<number> {
  const name = 'uploaded';
  const landed = join(origin.uploadFolder, name);
  rmSync(landed, { force: true });
  const output = await lab.client.mustRun([...curl, '-T', origin.bulkFile, '-o', '/dev/null', '-w', '%{http_code} %{time_total}', `https://${origins.plain.name}/upload/${name}`], { timeoutMs: loadMs });
  const [status, seconds] = output.split(' ').map(Number);
  const bytes = status === 201 ? statSync(landed).size : 0;
  rmSync(landed, { force: true });
  if (bytes !== origin.bulkBytes || seconds === undefined) throw new Error(`the upload ended as ${output}, ${String(bytes)} bytes arrived`);
  return seconds;
}

/** One page with a client that trusts only the proxy's issuer, or only the origins' root where nothing is to be opened: proves who answers. */
export async function proveAnswer({ lab, origin }: Site, { caFile }: Instance): Promise<void> {
  const command = ['curl', '-sS', '-4', '--http1.1', '-m', '20', '--cacert', caFile ?? origin.rootFile, '-o', '/dev/null', '-w', '%{http_code} %{size_download}', pageUrl(origins.plain)];
  const answer = await lab.client.mustRun(command, { timeoutMs: graceMs });
  if (answer !== `200 ${String(pageBytes)}`) throw new Error(`the proof request ended as ${answer}`);
}

const curl = ['curl', '-sSk', '--http1.1', '-m', '170'];

function pageUrl({ name }: Origin): string {
  return `https://${name}/page`;
}
