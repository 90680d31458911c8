// Closed sessions kept over restarts and crashes: written to the state database in batches, the newest of them read again at the start
// or when a worker is gone. It never holds up a flow: what cannot be written now is tried again, and at last let go.

import type { DatabaseSync } from 'node:sqlite';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Session } from '../core/session.ts';
import { isBusy, openState, transaction } from '../core/state.ts';
import type { StateLimits } from '../core/state.ts';
import type { SessionLog } from './table.ts';

export interface HistoryOptions {
  /** State folder. */
  readonly folder: string;
  /** Name of this process in session ids. */
  readonly worker: string;
  readonly limits: StateLimits & Pick<Limits, 'sessionsClosedMax' | 'stateSaveMs' | 'stateSaveMax'>;
  readonly log: Logger;
}

export class SessionHistory implements SessionLog {
  readonly #options: HistoryOptions;
  readonly #state: DatabaseSync;
  /** Sessions to be written, oldest first; no more than the database keeps. */
  #waiting: Session[] = [];
  #timer: NodeJS.Timeout | null = null;
  /** It could not be written last time: told once. */
  #failing = false;

  /** Opens the state database. Throws StateError. */
  constructor(options: HistoryOptions) {
    const { folder, limits } = options;
    this.#options = options;
    this.#state = openState(folder, { durable: false, limits });
  }

  write(session: Session): void {
    const { sessionsClosedMax, stateSaveMs } = this.#options.limits;
    if (sessionsClosedMax === 0 || !this.#state.isOpen) return;
    if (this.#waiting.length >= sessionsClosedMax) this.#waiting.shift();
    this.#waiting.push(session);
    this.#timer ??= setTimeout(() => this.#save(), stateSaveMs).unref();
  }

  /**
   * The newest sessions of earlier runs, or of one worker whose name no other process has; oldest first. Never throws: what cannot be read is
   * logged and left out, since nothing that carries traffic may end for it.
   */
  read(worker: string | null = null): Session[] {
    const { limits: { sessionsClosedMax }, log } = this.#options;
    try {
      const rows = worker === null
        ? this.#state.prepare('SELECT session FROM closed_sessions ORDER BY seq DESC LIMIT ?').all(sessionsClosedMax)
        : this.#state.prepare('SELECT session FROM closed_sessions WHERE worker = ? ORDER BY seq DESC LIMIT ?').all(worker, sessionsClosedMax);
      return rows.toReversed().flatMap(({ session }) => savedSession(String(session)) ?? []);
    } catch (caught) {
      log.error({ err: caught }, 'closed sessions cannot be read from the state database; they are not shown');
      return [];
    }
  }

  /** Writes what waits, as far as it can, and closes. */
  close(): void {
    if (!this.#state.isOpen) return;
    while (this.#waiting.length > 0 && this.#saveSome());
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#state.close();
  }

  #save(): void {
    this.#timer = null;
    const saved = this.#saveSome();
    // More than one go: others have their turn in between.
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#save(), saved ? 1 : this.#options.limits.stateSaveMs).unref();
  }

  /** Writes the oldest of what waits; false when it could not. */
  #saveSome(): boolean {
    const { worker, limits: { sessionsClosedMax, stateSaveMax }, log } = this.#options;
    const batch = this.#waiting.slice(0, stateSaveMax);
    try {
      const insert = this.#state.prepare('INSERT INTO closed_sessions (worker, session) VALUES (?, ?)');
      transaction(this.#state, () => {
        for (const session of batch) insert.run(worker, JSON.stringify(session));
        this.#state.prepare('DELETE FROM closed_sessions WHERE seq <= (SELECT max(seq) FROM closed_sessions) - ?').run(sessionsClosedMax);
      });
      this.#waiting = this.#waiting.slice(batch.length);
      this.#failing = false;
      return true;
    } catch (caught) {
      if (!isBusy(caught) && !this.#failing) {
        this.#failing = true;
        log.error({ err: caught }, 'closed sessions cannot be saved; they will be missing after a restart');
      }
      return false;
    }
  }
}

/** What a saved session must have at least, by kind; a row of a version that kept other things is left out. */
const shape: Readonly<Record<string, 'string' | 'number' | 'object'>> = {
  id: 'string', service: 'string', client: 'object', destination: 'object', startedAt: 'number', endedAt: 'number', state: 'string', protocol: 'string', chain: 'object',
  bytes: 'object', tls: 'object', details: 'object',
};

function savedSession(text: string): Session | null {
  try {
    const session: unknown = JSON.parse(text);
    return isSaved(session) ? session : null;
  } catch {
    return null;
  }
}

function isSaved(value: unknown): value is Session {
  return typeof value === 'object' && value !== null && Object.entries(shape).every(([key, kind]) => {
    const field: unknown = Reflect.get(value, key);
    return typeof field === kind && field !== null;
  });
}
