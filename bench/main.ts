// `sallyport bench`: measures Sallyport and other interceptors side by side, in one run, in network namespaces of its own; prints tables and
// stores the figures as JSON. Needs root; touches nothing outside its namespaces but packages that are missing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Contestant, Effort } from './bench.ts';
import { benches } from './benches/index.ts';
import { curveAbout, curveTable, measureCurve } from './curve.ts';
import type { Curve } from './curve.ts';
import { machine, ownVersion } from './machine.ts';
import { benchPackages, install, missing, packageVersion } from './packages.ts';
import { parts } from './parts.ts';
import type { Part } from './parts.ts';
import { programs } from './peers/index.ts';
import type { Peer } from './peers/peer.ts';
import { keepBaseline, publish } from './publish.ts';
import { table } from './report.ts';
import { resultOf } from './results.ts';
import type { BenchResult, Results } from './results.ts';
import { runBench } from './rounds.ts';
import { makeSite } from './site.ts';
import { targetTable } from './targets.ts';

const full: Effort = {
  rounds: 5, handshakes: 500, warmUpHandshakes: 1_000, freshWarmUpHandshakes: 300, loadSeconds: 3, bulkMiB: 256, heldSessions: 1_000, firstVisits: 50,
  workersConnections: 1_000, idleSessions: 5_000, idleSeconds: 6, curveNames: [100, 1_000, 10_000], curveSessions: [100, 1_000, 5_000, 9_000],
};
const smoke: Effort = {
  rounds: 1, handshakes: 40, warmUpHandshakes: 20, freshWarmUpHandshakes: 20, loadSeconds: 1, bulkMiB: 16, heldSessions: 40, firstVisits: 5,
  workersConnections: 60, idleSessions: 60, idleSeconds: 1, curveNames: [5, 10], curveSessions: [10, 20],
};
const roundsMax = 100;
const curveName = 'curve';

const help = `Usage: ./sallyport bench [NAME ...] [--rounds N] [--peer NAME ...] [--smoke] [--profile FOLDER]
       ./sallyport bench --list | --store | --redraw

  NAME              what --list names; all of them without a name
  --list            the benches, one line each
  --rounds N        interleaved rounds of each bench (default ${String(full.rounds)}, at least 5 for figures to be quoted)
  --peer NAME       only these beside Sallyport: ${programs.map(({ slug }) => slug).join(', ')}; 'none' for none
  --smoke           every bench in seconds, with the peers that are installed: shows that it works, not how fast it is
  --profile FOLDER  V8 CPU profiles of Sallyport
  --store           everything, kept as the baseline of today: bench/baseline/, the tables of bench/README.md, the chart of README.md
  --redraw          tables and chart from the newest baseline, nothing measured
${parts.map(({ name }) => name).join(', ')} measure single parts, need no root and no peers, and end with code 1 when they miss what they have to reach;
the others need root. Results lie in bench/results/.`;

interface Wanted {
  readonly benches: readonly Bench[];
  readonly parts: readonly Part[];
  readonly curve: boolean;
  readonly effort: Effort;
  readonly isSmoke: boolean;
  readonly peers: readonly string[];
  readonly profile: string | null;
  readonly store: boolean;
}

/** Runs the benchmark. 0 when Sallyport finished every bench and its parts reached what they have to, 1 otherwise, 2 for bad usage. */
export async function run(args: string[]): Promise<number> {
  // Ended early, the process still takes its namespaces and programs with it: that hangs on 'exit'.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const { values, positionals } = parseArgs({
    args, allowPositionals: true,
    options: {
      rounds: { type: 'string' }, peer: { type: 'string', multiple: true }, smoke: { type: 'boolean' }, profile: { type: 'string' },
      list: { type: 'boolean' }, store: { type: 'boolean' }, redraw: { type: 'boolean' }, help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return said(help, 0);
  if (values.list === true) return said(list(), 0);
  if (values.redraw === true) return said(`Written: ${publish().join(' ')}`, 0);
  const isSmoke = values.smoke === true;
  const base = isSmoke ? smoke : full;
  const rounds = values.rounds === undefined ? base.rounds : Number(values.rounds);
  const all = positionals.length === 0;
  const wanted: Wanted = {
    benches: benches.filter(({ name }) => all || positionals.includes(name)), parts: parts.filter(({ name }) => all || positionals.includes(name)),
    curve: all || positionals.includes(curveName),
    effort: { ...base, rounds }, isSmoke, store: values.store === true, profile: values.profile ?? null,
    peers: values.peer === undefined ? programs.map(({ slug }) => slug) : values.peer.filter((name) => name !== 'none'),
  };
  const known = all || wanted.benches.length + wanted.parts.length + Number(wanted.curve) === new Set(positionals).size;
  // A baseline is one whole run.
  const storable = !wanted.store || (all && !isSmoke && values.peer === undefined);
  if (!known || !storable || !wanted.peers.every((name) => programs.some(({ slug }) => slug === name)) || !Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax) return said(help, 2);
  if (needsSite(wanted) && process.getuid?.() !== 0) return said('sallyport bench makes network namespaces and needs root: sudo ./sallyport bench', 1);
  return await runAll(wanted);
}

function needsSite({ benches: chosen, curve }: Wanted): boolean {
  return chosen.length > 0 || curve;
}

function list(): string {
  const all = [...benches, { name: curveName, about: curveAbout }, ...parts];
  const width = Math.max(...all.map(({ name }) => name.length));
  return all.map(({ name, about }) => `${name.padEnd(width)}  ${about}`).join('\n');
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
  if (!needsSite(wanted)) return ok ? 0 : 1;
  const ready = await prepare(wanted.peers, wanted.isSmoke);
  if (ready === null) return 1;
  const frame = { startedAt: new Date().toISOString(), commit: ownVersion(), machine: machine(), effort: wanted.effort, versions: await versionsOf(ready), parts: texts };
  const { measured, curve } = await measure(wanted, ready, (soFar) => void store({ ...frame, ...soFar }));
  const results: Results = { ...frame, benches: measured, curve };
  if (measured.length > 0) said(`\n${targetTable(measured)}`, 0);
  said(`\nStored as ${store(results)}`, 0);
  if (wanted.store) {
    keepBaseline(results);
    said(`Written: ${publish().join(' ')}`, 0);
  }
  return ok && measured.every(({ peers }) => peers.every(({ peer, failure }) => failure === null || !peer.startsWith('Sallyport'))) ? 0 : 1;
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

/** Tells `keep` after each bench: what was measured outlives a run that is ended. */
async function measure(wanted: Wanted, ready: readonly Peer[], keep: (soFar: Pick<Results, 'benches' | 'curve'>) => void): Promise<{ measured: BenchResult[]; curve: Curve | null }> {
  const { benches: chosen, effort, profile } = wanted;
  const measured: BenchResult[] = [];
  const takesPart = ({ peer: { slug } }: Contestant): boolean => slug === 'sallyport' || ready.some((one) => one.slug === slug);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const site = await makeSite(effort.bulkMiB);
  try {
    for (const bench of chosen) {
      const beganAt = performance.now();
      const result = resultOf(await runBench(bench, bench.contestants.filter(takesPart), site, effort, { profile }, say));
      measured.push(result);
      keep({ benches: measured, curve: null });
      say(`${bench.name} took ${((performance.now() - beganAt) / 1000).toFixed(0)} s`);
      said(`\n${table(result)}`, 0);
    }
    const curve = wanted.curve ? await measureCurve(site, effort, say) : null;
    if (curve !== null) said(`\n${curveTable(curve)}`, 0);
    return { measured, curve };
  } finally {
    await site.lab.close();
  }
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
