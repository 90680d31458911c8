// What a bench is: contestants, one measurement of one of them in units of work done, and how much of everything. A measurement that does
// not reach its end throws; the round then says that it did not finish.

import type { Instance, Peer } from './peers/peer.ts';
import type { Site } from './site.ts';

/** How much of everything: full runs and smoke runs differ in nothing else. */
export interface Effort {
  readonly rounds: number;
  /** Connections of one round, of a warm-up, and of the warm-up of processes that live for one round. */
  readonly handshakes: number;
  readonly warmUpHandshakes: number;
  readonly freshWarmUpHandshakes: number;
  /** Length of a round of requests or messages. */
  readonly loadSeconds: number;
  readonly bulkMiB: number;
  readonly heldSessions: number;
  /** Names that nobody asked for before, in one round. */
  readonly firstVisits: number;
  readonly workersConnections: number;
  readonly idleSessions: number;
  readonly idleSeconds: number;
  /** Steps of the cost curve: names visited, sessions held. */
  readonly curveNames: readonly number[];
  readonly curveSessions: readonly number[];
}

/** One measurement. */
export interface Measured {
  /** What is compared: CPU milliseconds or KiB for each unit. */
  readonly value: number;
  /** Further figures that are shown beside it. */
  readonly aside: Readonly<Record<string, number>>;
}

/** What is done with one proxy: once to warm it up, then in each round. */
export interface Work {
  warmUp(site: Site, effort: Effort, instance: Instance): Promise<void>;
  measure(site: Site, instance: Instance, effort: Effort): Promise<Measured>;
}

/** One column of a bench: a proxy, and the work where it differs from the others'. */
export interface Contestant {
  readonly peer: Peer;
  readonly work?: Work;
}

export interface Bench extends Work {
  readonly name: string;
  readonly title: string;
  /** One line for `--list`. */
  readonly about: string;
  /** Of `value`. */
  readonly unit: string;
  /** A new instance for each round: what a process once held it often keeps. */
  readonly freshInstance: boolean;
  /** Sallyport as users run it comes first: all others are compared with it. */
  readonly contestants: readonly Contestant[];
}
