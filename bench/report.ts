// Turns results into text for people. It prints and writes nothing itself.

import type { BenchResult, PeerResult } from './results.ts';

/** What the bench of a single part (bench/parts.ts) has to say. */
export interface PartReport {
  readonly text: string;
  /** What it was to reach and did not; empty too where nothing was to be reached. */
  readonly missed: readonly string[];
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
export function shown(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '';
  const magnitude = Math.abs(value);
  if (magnitude === 0) return '0';
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : magnitude >= 0.1 ? 3 : 4);
}
