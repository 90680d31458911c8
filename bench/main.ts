// `sallyport bench`: measures Sallyport and the interceptors that Debian packages side by side, in one run, in network namespaces of its
// own; prints tables and stores the figures as JSON. Needs root; touches nothing outside its namespaces but packages that are missing.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benches } from './benches.ts';
import type { Bench, Effort } from './benches.ts';
import { benchPackages, install, missing, packageVersion } from './packages.ts';
import { partBenches } from './parts.ts';
import { peers } from './peers/index.ts';
import type { Peer } from './peers/peer.ts';
import { resultOf, table } from './report.ts';
import type { BenchResult, Machine, Results } from './report.ts';
import { runBench } from './rounds.ts';
import { makeSite } from './site.ts';

const full: Effort = { rounds: 5, handshakes: 600, warmUpHandshakes: 1_500, keepAliveSeconds: 3, downloads: 1, heldSessions: 1_000 };
const smoke: Effort = { rounds: 2, handshakes: 60, warmUpHandshakes: 40, keepAliveSeconds: 1, downloads: 1, heldSessions: 60 };
const roundsMax = 100;
const parts = [...partBenches.keys()];

const help = `Usage: ./sallyport bench [NAME ...] [--rounds N] [--peer NAME ...] [--smoke] [--profile FOLDER]

  NAME              ${benches.map(({ name }) => name).join(', ')}, ${parts.join(', ')}; all of them without a name
  --rounds N        interleaved rounds of each bench (default ${String(full.rounds)}, at least 5 for figures to be quoted)
  --peer NAME       only these beside Sallyport: ${peers.slice(1).map(slug).join(', ')}; 'none' for none
  --smoke           every bench in seconds, with the peers that are installed: shows that it works, not how fast it is
  --profile FOLDER  V8 CPU profiles of Sallyport
${parts.join(', ')} measure single parts, need no root and no peers, and end with code 1 when they miss what they have to reach; the others need root. Results lie in bench/results/.`;

/** Runs the benchmark. 0 when Sallyport finished every bench and reached what it has to, 1 otherwise, 2 for bad usage. */
export async function run(args: string[]): Promise<number> {
  // Ended early, the process still takes its namespaces and programs with it: that hangs on 'exit'.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: {
      rounds: { type: 'string' }, peer: { type: 'string', multiple: true }, smoke: { type: 'boolean' }, profile: { type: 'string' }, help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return said(help, 0);
  const named = positionals.filter((name) => !partBenches.has(name));
  const chosen = positionals.length === 0 ? benches : benches.filter(({ name }) => named.includes(name));
  const wanted = choosePeers(values.peer);
  const base = values.smoke === true ? smoke : full;
  const rounds = values.rounds === undefined ? base.rounds : Number(values.rounds);
  if (chosen.length !== (positionals.length === 0 ? benches.length : named.length) || wanted === null || !Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax) return said(help, 2);
  const code = await measureParts(parts.filter((name) => positionals.length === 0 || positionals.includes(name)), values.smoke === true);
  if (chosen.length === 0) return code;
  if (process.getuid?.() !== 0) return said('sallyport bench makes network namespaces and needs root: sudo ./sallyport bench', 1);
  const ready = await prepare(wanted, values.smoke === true);
  if (ready === null) return 1;
  return Math.max(code, await measure(chosen, ready, { ...base, rounds }, values.profile ?? null));
}

/** 1 when a part missed what it has to reach. */
async function measureParts(names: readonly string[], isSmoke: boolean): Promise<number> {
  let code = 0;
  for (const name of names) {
    const report = await partBenches.get(name)?.(isSmoke);
    if (report === undefined) continue;
    said(`${report.text}\n`, 0);
    for (const missed of report.missed) code = said(`missed: ${missed}`, 1);
  }
  return code;
}

/** The tools and peers that are there, after installing what is not; null when tools are missing. */
async function prepare(wanted: readonly Peer[], installedOnly: boolean): Promise<readonly Peer[] | null> {
  const ofPeers = wanted.flatMap(({ packageName }) => packageName ?? []);
  const ofPeersAll: readonly (string | null)[] = peers.map(({ packageName }) => packageName);
  const tools = Object.keys(benchPackages).filter((name) => !ofPeersAll.includes(name));
  await install(installedOnly ? tools : [...tools, ...ofPeers], (line) => said(line, 0));
  const gone = missing([...tools, ...ofPeers]);
  const toolsGone = gone.filter((name) => tools.includes(name));
  if (toolsGone.length > 0) {
    said(`missing: ${toolsGone.join(' ')}. Install with: apt-get install ${toolsGone.join(' ')}`, 1);
    return null;
  }
  if (gone.length > 0) said(`not installed, so not measured: ${gone.join(' ')}`, 0);
  return wanted.filter(({ packageName }) => packageName === null || !gone.includes(packageName));
}

async function measure(chosen: readonly Bench[], ready: readonly Peer[], effort: Effort, profile: string | null): Promise<number> {
  const startedAt = new Date();
  const versions = Object.fromEntries(await Promise.all(ready.map(async ({ name, packageName }) => [name, packageName === null ? ownVersion() : await packageVersion(packageName)] as const)));
  const results: BenchResult[] = [];
  const site = await makeSite();
  try {
    for (const bench of chosen) {
      const result = resultOf(await runBench(bench, ready, site, effort, { profile }, (line) => process.stderr.write(`${line}\n`)));
      results.push(result);
      said(`\n${table(result)}`, 0);
    }
  } finally {
    await site.lab.close();
  }
  const stored: Results = {
    startedAt: startedAt.toISOString(), commit: ownVersion(), machine: machine(), effort, versions,
    setups: Object.fromEntries(ready.map(({ name, about }) => [name, about])), benches: results,
  };
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${stored.startedAt.replaceAll(':', '-')}.json`);
  writeFileSync(file, `${JSON.stringify(stored, null, 1)}\n`);
  said(`\nStored as ${file}`, 0);
  return results.every(({ peers: [own] }) => own !== undefined && own.failure === null) ? 0 : 1;
}

/** Sallyport and the named ones; null when a name is wrong. */
function choosePeers(names: readonly string[] | undefined): readonly Peer[] | null {
  if (names === undefined) return peers;
  if (names.length === 1 && names[0] === 'none') return peers.slice(0, 1);
  const chosen = peers.filter((peer, index) => index === 0 || names.includes(slug(peer)));
  return chosen.length === names.length + 1 ? chosen : null;
}

function slug({ name }: Peer): string {
  return (name.split(' ')[0] ?? name).toLowerCase();
}

function machine(): Machine {
  const [first] = cpus();
  return { cpu: first?.model.trim() ?? 'unknown', cores: cpus().length, memoryGiB: Math.round(totalmem() / 1024 ** 3), kernel: release(), node: process.version };
}

/** The commit that is measured, marked when the source differs from it. */
function ownVersion(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', ['-C', join(import.meta.dirname, '..'), ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : '-changed');
  } catch {
    return 'unknown';
  }
}

function said(line: string, code: number): number {
  process.stdout.write(`${line}\n`);
  return code;
}
