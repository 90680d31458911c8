// `sallyport bench`: measures Sallyport and other interceptors side by side, in one run, in network namespaces of its own; prints tables and
// stores the figures as JSON. Needs root; touches nothing outside its namespaces but packages that are missing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Contestant, Effort } from './bench.ts';
import { benches } from './benches/index.ts';
import { machine, ownVersion } from './machine.ts';
import { benchPackages, install, missing, packageVersion } from './packages.ts';
import { parts } from './parts.ts';
import type { Part } from './parts.ts';
import { programs } from './peers/index.ts';
import type { Peer } from './peers/peer.ts';
import { table } from './report.ts';
import { resultOf } from './results.ts';
import type { BenchResult, Results } from './results.ts';
import { runBench } from './rounds.ts';
import { makeSite } from './site.ts';
import { targetTable } from './targets.ts';

const full: Effort = {
  rounds: 5, handshakes: 600, warmUpHandshakes: 1_500, freshWarmUpHandshakes: 600, loadSeconds: 3, bulkMiB: 256, heldSessions: 1_000, firstVisits: 50,
  workersConnections: 1_000, idleSessions: 5_000, idleSeconds: 8,
};
const smoke: Effort = {
  rounds: 1, handshakes: 40, warmUpHandshakes: 20, freshWarmUpHandshakes: 20, loadSeconds: 1, bulkMiB: 16, heldSessions: 40, firstVisits: 5,
  workersConnections: 60, idleSessions: 60, idleSeconds: 1,
};
const roundsMax = 100;

const help = `Usage: ./sallyport bench [NAME ...] [--rounds N] [--peer NAME ...] [--smoke] [--profile FOLDER] [--list]

  NAME              what --list names; all of them without a name
  --list            the benches, one line each
  --rounds N        interleaved rounds of each bench (default ${String(full.rounds)}, at least 5 for figures to be quoted)
  --peer NAME       only these beside Sallyport: ${programs.map(({ slug }) => slug).join(', ')}; 'none' for none
  --smoke           every bench in seconds, with the peers that are installed: shows that it works, not how fast it is
  --profile FOLDER  V8 CPU profiles of Sallyport
${parts.map(({ name }) => name).join(', ')} measure single parts, need no root and no peers, and end with code 1 when they miss what they have to reach;
the others need root. Results lie in bench/results/.`;

interface Wanted {
  readonly benches: readonly Bench[];
  readonly parts: readonly Part[];
  readonly effort: Effort;
  readonly isSmoke: boolean;
  readonly peers: readonly string[];
  readonly profile: string | null;
}

/** Runs the benchmark. 0 when Sallyport finished every bench and its parts reached what they have to, 1 otherwise, 2 for bad usage. */
export async function run(args: string[]): Promise<number> {
  // Ended early, the process still takes its namespaces and programs with it: that hangs on 'exit'.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: {
      rounds: { type: 'string' }, peer: { type: 'string', multiple: true }, smoke: { type: 'boolean' }, profile: { type: 'string' },
      list: { type: 'boolean' }, help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return said(help, 0);
  if (values.list === true) return said(list(), 0);
  const isSmoke = values.smoke === true;
  const base = isSmoke ? smoke : full;
  const rounds = values.rounds === undefined ? base.rounds : Number(values.rounds);
  const all = positionals.length === 0;
  const wanted: Wanted = {
    benches: benches.filter(({ name }) => all || positionals.includes(name)), parts: parts.filter(({ name }) => all || positionals.includes(name)),
    effort: { ...base, rounds }, isSmoke, profile: values.profile ?? null,
    peers: values.peer === undefined ? programs.map(({ slug }) => slug) : values.peer.filter((name) => name !== 'none'),
  };
  const known = wanted.benches.length + wanted.parts.length === (all ? benches.length + parts.length : new Set(positionals).size);
  if (!known || !wanted.peers.every((name) => programs.some(({ slug }) => slug === name)) || !Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax) return said(help, 2);
  if (wanted.benches.length > 0 && process.getuid?.() !== 0) return said('sallyport bench makes network namespaces and needs root: sudo ./sallyport bench', 1);
  return await runAll(wanted);
}

function list(): string {
  const width = Math.max(...[...benches, ...parts].map(({ name }) => name.length));
  return [...benches, ...parts].map(({ name, about }) => `${name.padEnd(width)}  ${about}`).join('\n');
}

async function runAll(wanted: Wanted): Promise<number> {
  let ok = true;
  const texts: Record<string, string> = {};
  for (const part of wanted.parts) {
    const { text, missed } = await part.run(wanted.isSmoke);
    texts[part.name] = [text, ...missed.map((what) => `missed: ${what}`)].join('\n');
    said(`\n${texts[part.name] ?? ''}`, 0);
    ok &&= missed.length === 0;
  }
  if (wanted.benches.length === 0) return ok ? 0 : 1;
  const ready = await prepare(wanted.peers, wanted.isSmoke);
  if (ready === null) return 1;
  const startedAt = new Date().toISOString();
  const results = await measure(wanted, ready);
  const stored: Results = { startedAt, commit: ownVersion(), machine: machine(), effort: wanted.effort, versions: await versionsOf(ready), benches: results, parts: texts };
  said(`\n${targetTable(results)}`, 0);
  said(`\nStored as ${store(stored)}`, 0);
  return ok && results.every(({ peers }) => peers.every(({ peer, failure }) => failure === null || !peer.startsWith('Sallyport'))) ? 0 : 1;
}

/** The named programs that are there, after installing what is not; null when tools are missing. */
async function prepare(peers: readonly string[], installedOnly: boolean): Promise<readonly Peer[] | null> {
  const wanted = programs.filter(({ slug }) => peers.includes(slug));
  const ofPeersAll: readonly (string | null)[] = programs.map(({ packageName }) => packageName);
  const tools = Object.keys(benchPackages).filter((name) => !ofPeersAll.includes(name));
  const ofPeers = wanted.flatMap(({ packageName }) => packageName ?? []);
  await install(installedOnly ? tools : [...tools, ...ofPeers], (line) => said(line, 0));
  if (!installedOnly) for (const peer of wanted) if (peer.ready?.() === false) await peer.install?.((line) => said(line, 0));
  const toolsGone = missing(tools);
  if (toolsGone.length > 0) {
    said(`missing: ${toolsGone.join(' ')}. Install with: apt-get install ${toolsGone.join(' ')}`, 1);
    return null;
  }
  const gone = missing(ofPeers);
  const isReady = ({ packageName, ready }: Peer): boolean => (packageName === null || !gone.includes(packageName)) && ready?.() !== false;
  const without = wanted.filter((peer) => !isReady(peer));
  if (without.length > 0) said(`not installed, so not measured: ${without.map(({ slug }) => slug).join(' ')}`, 0);
  return wanted.filter(isReady);
}

async function measure({ benches: chosen, effort, profile }: Wanted, ready: readonly Peer[]): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const takesPart = ({ peer: { slug } }: Contestant): boolean => slug === 'sallyport' || ready.some((one) => one.slug === slug);
  const site = await makeSite(effort.bulkMiB);
  try {
    for (const bench of chosen) {
      const result = resultOf(await runBench(bench, bench.contestants.filter(takesPart), site, effort, { profile }, (line) => process.stderr.write(`${line}\n`)));
      results.push(result);
      said(`\n${table(result)}`, 0);
    }
  } finally {
    await site.lab.close();
  }
  return results;
}

async function versionsOf(ready: readonly Peer[]): Promise<Record<string, string>> {
  const versions = await Promise.all(ready.map(async ({ slug, packageName, version }) => [slug, packageName === null ? version?.() ?? 'unknown' : await packageVersion(packageName)] as const));
  return { sallyport: ownVersion(), ...Object.fromEntries(versions) };
}

function store(results: Results): string {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${results.startedAt.replaceAll(':', '-')}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
  return file;
}

function said(line: string, code: number): number {
  process.stdout.write(`${line}\n`);
  return code;
}
