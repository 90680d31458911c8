// Writes a stored run where people look: the tables of bench/README.md between its markers, and the chart that README.md shows. The texts are
// made from the data alone, so that a test can tell whether what is committed belongs to the newest baseline.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { throughput } from './benches/bulk.ts';
import { chart } from './chart.ts';
import { inColumn, programColumns, variants } from './columns.ts';
import { curveRows } from './curve.ts';
import { shown } from './report.ts';
import { roundsToQuote } from './results.ts';
import type { BenchResult, PeerResult, Results } from './results.ts';
import { baselineFolder, newestBaseline } from './stored.ts';
import { targetCells, targets } from './targets.ts';

export const readmeFile = join(import.meta.dirname, 'README.md');
export const chartFile = join(import.meta.dirname, '../docs/images/bench.svg');
const markers = { begin: '<!-- results: written by ./sallyport bench --store -->', end: '<!-- results end -->' } as const;

/** Keeps a run as the baseline of its day. */
export function keepBaseline(results: Results): void {
  mkdirSync(baselineFolder, { recursive: true });
  writeFileSync(join(baselineFolder, `${results.startedAt.slice(0, 10)}.json`), `${JSON.stringify(results, null, 1)}\n`);
}

/** Writes tables and chart of the newest baseline; answers the files. */
export function publish(): string[] {
  const { name, results } = newestBaseline();
  writeFileSync(readmeFile, withResults(readFileSync(readmeFile, 'utf8'), resultsText(name, results)));
  writeFileSync(chartFile, chart(results));
  return [readmeFile, chartFile];
}

/** The README with other results between its markers; throws when it has none. */
export function withResults(readme: string, text: string): string {
  const begin = readme.indexOf(markers.begin);
  const end = readme.indexOf(markers.end);
  if (begin < 0 || end < begin) throw new Error('bench/README.md has lost its markers');
  return `${readme.slice(0, begin)}${markers.begin}\n\n${text}\n\n${readme.slice(end)}`;
}

/** Everything between the markers. */
export function resultsText(name: string, results: Results): string {
  const { machine, effort, versions } = results;
  const programs = programColumns.flatMap(({ slug, label }) => (versions[slug] === undefined ? [] : [`${label} ${versions[slug]}`]));
  return [
    `${results.startedAt.slice(0, 10)}, ${String(machine.cores)} cores of ${machine.cpu}, ${String(machine.memoryGiB)} GiB, Linux ${machine.kernel}, Node ${machine.node}; ${programs.join(', ')}.`
    + ` Medians of ${String(effort.rounds)} interleaved rounds, ± the spread; in brackets Sallyport / peer. Every round is in [baseline/${name}.json](baseline/${name}.json).`,
    effort.rounds < roundsToQuote ? `**Only ${String(effort.rounds)} of at least ${String(roundsToQuote)} rounds: these figures show that the benches work, and are not to be quoted.**` : '',
    sideBySide(results.benches), besideOurselves(results.benches), titled('Targets', targetRows(results.benches)), ...curveText(results), capacityText(results),
  ].filter((part) => part !== '').join('\n\n');
}

function sideBySide(benches: readonly BenchResult[]): string {
  const shownBenches = benches.filter(({ bench }) => bench !== 'workers');
  const rows = shownBenches.map((bench) => [`${bench.title} (${bench.unit})`, ...programColumns.map((column) => cell(inColumn(bench, column)))]);
  const rates = shownBenches.filter(({ peers }) => peers[0]?.aside[throughput] !== undefined)
    .map((bench) => [`${bench.title}: throughput (MiB/s)`, ...programColumns.map((column) => shown(inColumn(bench, column)?.aside[throughput]))]);
  return table([['', ...programColumns.map(({ label }) => label)], ...rows, ...rates]);
}

function cell(peer: PeerResult | null): string {
  if (peer === null) return '';
  if (peer.summary === null) return 'did not finish';
  return `${shown(peer.summary.median)} ± ${(peer.summary.spread * 100).toFixed(0)} %${peer.ratio === null ? '' : ` (${peer.ratio.toFixed(2)})`}`;
}

/** What is compared with another way of running Sallyport. */
function besideOurselves(benches: readonly BenchResult[]): string {
  const rows = benches.flatMap((bench) => variants(bench).map((other) => [bench.title, cell(bench.peers[0] ?? null), `${other.peer.replace('Sallyport, ', '')}: ${cell(other)}`]));
  return rows.length === 0 ? '' : `### Beside ourselves\n\n${table([['', 'Sallyport', 'with what compared'], ...rows])}`;
}

function targetRows(benches: readonly BenchResult[]): string[][] {
  return [['', 'target', 'measured', 'stretch', ''], ...targets(benches).map((target) => [target.what, ...targetCells(target)])];
}

function curveText({ curve }: Results): string[] {
  return curve === null ? [] : [`### Cost curve\n\nOne process, one pass.\n\n${curveRows(curve).map(table).join('\n\n')}`];
}

/** What the machine's cores carry, all of them working for the gateway. */
function capacityText({ benches, machine }: Results): string {
  const median = (name: string): number => benches.find(({ bench }) => bench === name)?.peers[0]?.summary?.median ?? NaN;
  const perSecond = (name: string): number => (machine.cores * 1000) / median(name);
  const rows: [string, number][] = [
    ['new connections a second', perSecond('handshake')], ['resumed connections a second', perSecond('resumed')], ['HTTP/1.1 requests a second', perSecond('keepalive')],
    ['HTTP/2 requests a second', perSecond('http2')], ['MiB a second, intercepted', 256 * perSecond('download')], ['MiB a second, tunnelled', 256 * perSecond('tunnel')],
    ['held sessions in each GiB of memory', (1024 * 1024) / median('memory')],
  ];
  const lines = rows.filter(([, value]) => !Number.isNaN(value)).map(([what, value]) => [what, Math.round(value).toLocaleString('en')]);
  if (lines.length === 0) return '';
  return `### What one machine carries\n\n${String(machine.cores)} cores of this machine, working for the gateway alone (\`workers: auto\`), by the CPU figures above; one thing at a time.\n\n${table([['', ''], ...lines])}`;
}

function titled(title: string, rows: readonly (readonly string[])[]): string {
  return `### ${title}\n\n${table(rows)}`;
}

/** A Markdown table; the first row is its head. */
function table([head = [], ...rows]: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
