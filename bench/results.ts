// What a run stores: every round of every proxy, and what they say together. Pure data and arithmetic.

import type { Effort, Measured } from './bench.ts';
import type { Curve } from './curve.ts';
import type { BenchRounds, PeerRounds } from './rounds.ts';
import { pairedRatio, quantile, summarise } from './statistics.ts';
import type { Summary } from './statistics.ts';

/** Fewer rounds say little. */
export const roundsToQuote = 5;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

export interface PeerResult {
  readonly peer: string;
  /** How it was set up. */
  readonly about: string;
  /** Null: did not finish. */
  readonly summary: Summary | null;
  /** Median over rounds of Sallyport's figure divided by this peer's; null without one. */
  readonly ratio: number | null;
  /** Medians. */
  readonly aside: Readonly<Record<string, number>>;
  readonly rounds: readonly (Measured | null)[];
  readonly failure: string | null;
}

export interface BenchResult {
  readonly bench: string;
  readonly title: string;
  readonly unit: string;
  /** Sallyport as users run it comes first. */
  readonly peers: readonly PeerResult[];
}

/** What a run stores. */
export interface Results {
  readonly startedAt: string;
  readonly commit: string;
  readonly machine: Machine;
  readonly effort: Effort;
  readonly versions: Readonly<Record<string, string>>;
  readonly benches: readonly BenchResult[];
  /** Null when it was not asked for. */
  readonly curve: Curve | null;
  /** What the benches of single parts printed. */
  readonly parts: Readonly<Record<string, string>>;
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
    about: peer.about,
    summary: summarise(finished.map(({ value }) => value)),
    ratio: ours === undefined || ours === peer ? null : pairedRatio(valuesOf(ours.rounds), valuesOf(peer.rounds)),
    aside: Object.fromEntries(names.map((name) => [name, quantile(finished.map(({ aside }) => aside[name] ?? NaN), 0.5)])),
    rounds: peer.rounds,
    failure: peer.failure,
  };
}

/** One figure of each round: what is compared, or the named one beside it. */
export function valuesOf(rounds: readonly (Measured | null)[], aside: string | null = null): (number | null)[] {
  return rounds.map((round) => (round === null ? null : aside === null ? round.value : round.aside[aside] ?? null));
}
