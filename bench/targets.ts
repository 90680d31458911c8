// The targets that Sallyport is held to, and how a run measures up to each. Pure arithmetic on results; it judges no run as a whole.

import { throughput } from './benches/bulk.ts';
import { fullPair } from './benches/handshake.ts';
import { opaque } from './benches/requests.ts';
import { oneWorker, workerFigures } from './benches/workers.ts';
import { columns } from './report.ts';
import { valuesOf } from './results.ts';
import type { BenchResult, PeerResult } from './results.ts';
import { pairedRatio } from './statistics.ts';

/** One target; figures are null where the run did not measure them. */
export interface Target {
  readonly what: string;
  /** Of what, in what: `of SSLsplit`, `KiB`. */
  readonly measure: string;
  readonly bound: 'at most' | 'at least';
  readonly target: number;
  readonly measured: number | null;
  /** What one would like beyond; null without one. */
  readonly stretch: number | null;
}

type Figure = (bench: BenchResult) => number | null;

interface Row extends Omit<Target, 'measured'> {
  readonly bench: string;
  readonly figure: Figure;
}

/** CPU of ours by that of the named peer, pairs of one round. */
const cpuOf = (peer: string): Figure => ({ peers }) => peers.find((one) => one.peer === peer)?.ratio ?? null;
/** The named figure of ours by the peer's. */
const asideOf = (aside: string, peer: string): Figure => ({ peers }) => {
  const [ours] = peers;
  const theirs = peers.find((one) => one.peer === peer);
  return ours === undefined || theirs === undefined ? null : pairedRatio(valuesOf(ours.rounds, aside), valuesOf(theirs.rounds, aside));
};
const own = (read: (ours: PeerResult) => number | undefined): Figure => ({ peers: [ours] }) => (ours === undefined ? null : read(ours) ?? null);
const median = own(({ summary }) => summary?.median);
const inverse = (figure: Figure): Figure => (bench) => {
  const value = figure(bench);
  return value === null ? null : 1 / value;
};
/** Ours by the lowest of all others. */
const byLowest: Figure = ({ peers: [, ...others] }) => {
  const ratios = others.flatMap(({ ratio }) => ratio ?? []);
  return ratios.length === 0 ? null : Math.max(...ratios);
};

const rows: readonly Row[] = [
  { bench: 'handshake', what: 'full handshake pair, one request, close', measure: 'CPU of SSLsplit\'s', bound: 'at most', target: 0.55, stretch: null, figure: cpuOf('SSLsplit') },
  { bench: 'handshake', what: 'full handshake pair, one request, close', measure: 'CPU of Squid\'s', bound: 'at most', target: 0.3, stretch: null, figure: cpuOf('Squid') },
  { bench: 'handshake', what: 'full handshake pair, one request, close (stretch)', measure: 'CPU of HAProxy\'s', bound: 'at most', target: 1, stretch: null, figure: cpuOf('HAProxy (limit)') },
  { bench: 'resumed', what: 'resumed handshakes on both sides', measure: 'CPU of our full pair\'s', bound: 'at most', target: 0.6, stretch: 0.4, figure: cpuOf(fullPair) },
  { bench: 'keepalive', what: 'keep-alive HTTP/1 request', measure: 'CPU of SSLsplit\'s', bound: 'at most', target: 1.4, stretch: 1, figure: cpuOf('SSLsplit') },
  { bench: 'keepalive', what: 'keep-alive HTTP/1 request', measure: 'CPU of Squid\'s', bound: 'at most', target: 0.25, stretch: null, figure: cpuOf('Squid') },
  { bench: 'keepalive', what: 'keep-alive HTTP/1 request', measure: 'CPU of our opaque relay\'s', bound: 'at most', target: 1.4, stretch: null, figure: cpuOf(opaque) },
  { bench: 'http2', what: 'HTTP/2 request', measure: 'CPU of mitmproxy\'s', bound: 'at most', target: 0.2, stretch: 0.1, figure: cpuOf('mitmproxy') },
  { bench: 'download', what: 'bulk download, intercepted', measure: 'throughput of SSLsplit\'s', bound: 'at least', target: 1.2, stretch: null, figure: asideOf(throughput, 'SSLsplit') },
  { bench: 'upload', what: 'bulk upload, intercepted', measure: 'throughput of SSLsplit\'s', bound: 'at least', target: 1.2, stretch: null, figure: asideOf(throughput, 'SSLsplit') },
  { bench: 'download', what: 'bulk download, intercepted (stretch)', measure: 'throughput of HAProxy\'s', bound: 'at least', target: 1, stretch: null, figure: asideOf(throughput, 'HAProxy (limit)') },
  { bench: 'upload', what: 'bulk upload, intercepted (stretch)', measure: 'throughput of HAProxy\'s', bound: 'at least', target: 1, stretch: null, figure: asideOf(throughput, 'HAProxy (limit)') },
  { bench: 'tunnel', what: 'tunnelled bytes', measure: 'throughput of HAProxy\'s', bound: 'at least', target: 0.7, stretch: 1, figure: asideOf(throughput, 'HAProxy') },
  { bench: 'tunnel', what: 'tunnelled bytes', measure: 'bytes per CPU second of HAProxy\'s', bound: 'at least', target: 0.7, stretch: 1, figure: inverse(cpuOf('HAProxy')) },
  { bench: 'memory', what: 'memory per held intercepted session', measure: 'KiB', bound: 'at most', target: 60, stretch: 40, figure: median },
  { bench: 'first-visit', what: 'first-visit latency (cold name, p50)', measure: 'of the fastest other\'s', bound: 'at most', target: 1, stretch: null, figure: byLowest },
  { bench: 'workers', what: 'two workers: CPU per handshake', measure: 'of one worker\'s', bound: 'at most', target: 1.1, stretch: null, figure: cpuOf(oneWorker) },
  { bench: 'workers', what: 'two workers: share of the less busy one', measure: '% of connections', bound: 'at least', target: 35, stretch: null, figure: own(({ aside }) => aside[workerFigures.least]) },
  { bench: 'workers', what: 'two workers: resumption across them', measure: '% resumed', bound: 'at least', target: 95, stretch: null, figure: own(({ aside }) => aside[workerFigures.resumed]) },
  { bench: 'idle', what: 'idle CPU with thousands of held sessions', measure: '% of a core', bound: 'at most', target: 1, stretch: null, figure: median },
];

/** All targets, measured by these benches. */
export function targets(benches: readonly BenchResult[]): Target[] {
  return rows.map(({ bench: name, figure, ...row }) => {
    const bench = benches.find((one) => one.bench === name);
    return { ...row, measured: bench === undefined ? null : figure(bench) };
  });
}

/** `met`, or by how much of the target not. */
export function verdict({ bound, target, measured }: Target): string {
  if (measured === null) return 'not measured';
  const excess = bound === 'at most' ? measured / target - 1 : 1 - measured / target;
  return excess <= 0 ? 'met' : `missed by ${Math.max(1, Math.round(excess * 100)).toString()} %`;
}

/** The targets that were measured, as lines of plain text. */
export function targetTable(benches: readonly BenchResult[]): string {
  const cells = targets(benches).filter(({ measured }) => measured !== null).map((target) => [target.what, ...targetCells(target)]);
  return ['Targets', columns([['', 'target', 'measured', 'stretch', ''], ...cells])].join('\n');
}

/** Target, measured, stretch, verdict. */
export function targetCells(target: Target): [string, string, string, string] {
  const { measure, bound, measured, stretch } = target;
  return [`${bound} ${String(target.target)} ${measure}`, measured === null ? '' : figure(measured), stretch === null ? '' : String(stretch), verdict(target)];
}

function figure(value: number): string {
  return value.toFixed(value >= 10 ? 0 : 2);
}
