// Turns rounds into a table for people and into JSON for comparisons later. It prints and writes nothing itself.

import type { Effort } from './benches.ts';
import type { BenchRounds, PeerRounds } from './rounds.ts';
import { pairedRatio, quantile, summarise } from './statistics.ts';
import type { Summary } from './statistics.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

export interface PeerResult {
  readonly peer: string;
  /** Null: did not finish. */
  readonly summary: Summary | null;
  /** Median over rounds of Sallyport's figure divided by this peer's; null without one. */
  readonly ratio: number | null;
  readonly rounds: readonly (number | null)[];
  /** Medians. */
  readonly aside: Readonly<Record<string, number>>;
  readonly failure: string | null;
}

export interface BenchResult {
  readonly bench: string;
  readonly title: string;
  readonly unit: string;
  readonly peers: readonly PeerResult[];
}

/** What a run stores. */
export interface Results {
  readonly startedAt: string;
  readonly commit: string;
  readonly machine: Machine;
  readonly effort: Effort;
  readonly versions: Readonly<Record<string, string>>;
  readonly setups: Readonly<Record<string, string>>;
  readonly benches: readonly BenchResult[];
}

/** What the bench of a single part (bench/parts.ts) has to say. */
export interface PartReport {
  readonly text: string;
  /** What it was to reach and did not; empty too where nothing was to be reached. */
  readonly missed: readonly string[];
}

export function resultOf({ bench, peers }: BenchRounds): BenchResult {
  const ours = peers[0];
  return { bench: bench.name, title: bench.title, unit: bench.unit, peers: peers.map((peer) => peerResult(peer, ours)) };
}

function peerResult(peer: PeerRounds, ours: PeerRounds | undefined): PeerResult {
  const finished = peer.rounds.filter((round) => round !== null);
  const names = Object.keys(finished[0]?.aside ?? {});
  return {
    peer: peer.peer,
    summary: summarise(finished.map(({ value }) => value)),
    ratio: ours === undefined || ours === peer ? null : pairedRatio(valuesOf(ours), valuesOf(peer)),
    rounds: valuesOf(peer),
    aside: Object.fromEntries(names.map((name) => [name, quantile(finished.map(({ aside }) => aside[name] ?? NaN), 0.5)])),
    failure: peer.failure,
  };
}

function valuesOf({ rounds }: PeerRounds): (number | null)[] {
  return rounds.map((round) => round?.value ?? null);
}

/** A bench as lines of plain text. */
export function table({ title, unit, peers }: BenchResult): string {
  const asides = Object.keys(peers.find(({ summary }) => summary !== null)?.aside ?? {});
  const head = ['', unit, 'spread', 'low', 'high', 'Sallyport/peer', ...asides];
  const rows = peers.map((peer) => [peer.peer, ...figures(peer), ...asides.map((name) => shown(peer.aside[name]))]);
  const failures = peers.filter(({ failure }) => failure !== null).map(({ peer, failure, rounds }) => `  ${peer}: ${String(rounds.filter((round) => round === null).length)} of ${String(rounds.length)} rounds did not finish: ${failure ?? ''}`);
  return [title, columns([head, ...rows]), ...failures].join('\n');
}

/** Rows of cells as aligned lines; numbers stand to the right of a first column of words. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ').trimEnd()).join('\n');
}

function figures({ summary, ratio }: PeerResult): string[] {
  if (summary === null) return ['did not finish', '', '', '', ''];
  return [shown(summary.median), `${(summary.spread * 100).toFixed(0)} %`, shown(summary.low), shown(summary.high), ratio === null ? '' : ratio.toFixed(2)];
}

/** Three significant digits, without exponents. */
function shown(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '';
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : magnitude >= 0.1 ? 3 : 4);
}
