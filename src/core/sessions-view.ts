// Sessions as admin, metrics, kill and the CLI may know them: asynchronous and plain data, for they may live in other processes.

import type { Session } from './session.ts';

export interface SessionPage {
  readonly sessions: readonly Session[];
  readonly total: number;
  /** A worker did not answer in time: its sessions are missing here. */
  readonly truncated: boolean;
  /** Pass as `cursor` for the next page; null on the last. */
  readonly cursor: string | null;
}

export interface SessionsView {
  /** `filter` is the text of CONTRACT's FILTER; rejects with FilterError on a wrong key or word. Newest first. */
  list(filter: string, limit: number, cursor: string | null): Promise<SessionPage>;
  one(id: string): Promise<Session | null>;
  kill(id: string): Promise<boolean>;
  /** Counts per protocol, action, error and state of what is in the table. */
  summary(): Promise<SessionSummary>;
  /** What was opened, changed or closed after `mark`, oldest change first; a null mark only asks for the mark of now. */
  changes(filter: string, limit: number, mark: string | null): Promise<SessionChanges>;
}

/** Changes of the table since a mark, for live streams. */
export interface SessionChanges {
  readonly changed: readonly Session[];
  /** Ids of sessions that changed and are not (or no longer) of the filter. */
  readonly gone: readonly string[];
  /** Pass as `mark` the next time; good over restarts and new workers. */
  readonly mark: string;
  /** There is more after `mark` already. */
  readonly more: boolean;
}

export interface SessionSummary {
  readonly active: number;
  readonly closed: number;
  readonly byProtocol: Record<string, number>;
  readonly byAction: Record<string, number>;
  readonly byError: Record<string, number>;
  readonly byState: Record<string, number>;
  readonly rates: SessionRates;
  /** A worker did not answer in time: its sessions are missing here. */
  readonly truncated: boolean;
}

/** Sessions that ended per second, averaged over the last `windowSeconds`, by protocol, action and error. */
export interface SessionRates {
  readonly windowSeconds: number;
  readonly sessions: number;
  readonly bytes: number;
  readonly byProtocol: Record<string, number>;
  readonly byAction: Record<string, number>;
  readonly byError: Record<string, number>;
}
