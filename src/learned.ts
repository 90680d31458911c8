// The learned bypasses of a whole gateway: the book with its rows in the state database, its figure, and those who listen to it. One for a
// gateway, in its primary process.

import type { DatabaseSync } from 'node:sqlite';
import type { LearnedControl } from './admin/options.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { Meter } from './core/meters.ts';
import { isBusy, openState, transaction } from './core/state.ts';
import { LearnedBook } from './policy/learned.ts';
import type { LearnedChange, LearnedPlace, LearnedSettings } from './policy/learned.ts';

export interface LearnedService {
  readonly control: LearnedControl;
  tell(what: 'refused' | 'accepted', place: LearnedPlace): void;
  /** Tells a listener all there is, and every change from then on. */
  listen(listener: LearnedChange): void;
  unlisten(listener: LearnedChange): void;
  /** From now on the settings are those of this config (after a reload). */
  follow(config: () => Config): void;
  /** Saves what is not saved yet. */
  close(): void;
}

export interface LearnedParts {
  readonly config: Config;
  readonly meter: Meter;
  readonly log: Logger;
  clock(): number;
}

/** Opens the book with what the state database holds. */
export function openLearned(parts: LearnedParts): LearnedService {
  const { state, limits } = parts.config;
  return new Learned(parts, openState(state, { durable: false, limits }));
}

/** A listener that hands changes on in batches, one at a time, and keeps those that did not arrive while the other side is alive. */
export function batched(send: (changes: readonly (readonly [string, number | null])[]) => Promise<unknown>, retryMs: number, alive: () => boolean): LearnedChange {
  const waiting = new Map<string, number | null>();
  let sending = false;
  const flush = async (): Promise<void> => {
    sending = true;
    while (waiting.size > 0 && alive()) {
      const batch = [...waiting];
      waiting.clear();
      try {
        await send(batch);
      } catch {
        for (const [key, until] of batch) if (!waiting.has(key)) waiting.set(key, until);
        setTimeout(() => void flush(), retryMs).unref();
        return;
      }
    }
    sending = false;
  };
  return (key, until) => {
    waiting.set(key, until);
    if (!sending) void flush();
  };
}

/** A batch as it came from another process. */
export function readBatch(batch: unknown): [string, number | null][] {
  return (Array.isArray(batch) ? batch : []).flatMap((entry: unknown): [string, number | null][] => {
    const [key, until]: unknown[] = Array.isArray(entry) ? entry : [];
    return typeof key === 'string' && (typeof until === 'number' || until === null) ? [[key, until]] : [];
  });
}

/** A place as it came from another process; null when it is none. */
export function readPlace(place: unknown): LearnedPlace | null {
  if (typeof place !== 'object' || place === null) return null;
  const { client, name, ja4 } = { client: null, name: null, ja4: null, ...place };
  return typeof client === 'string' && typeof name === 'string' && (typeof ja4 === 'string' || ja4 === null) ? { client, name, ja4 } : null;
}

class Learned implements LearnedService {
  readonly book: LearnedBook;
  readonly control: LearnedControl;
  readonly #parts: LearnedParts;
  readonly #listeners = new Set<LearnedChange>();
  readonly #state: DatabaseSync;
  readonly #sweep: NodeJS.Timeout;
  #config: () => Config;
  /** Keys that have a row. Bounded as the book was when it was saved. */
  readonly #saved = new Set<string>();
  /** Keys whose rows are not as the book has them: each is a bypass of the book, or has a row to be dropped. So it is bounded, saved or not. */
  readonly #unsaved = new Set<string>();
  /** They could not be saved last time: told once. */
  #failing = false;
  #saving: NodeJS.Timeout | null = null;

  constructor(parts: LearnedParts, state: DatabaseSync) {
    this.#parts = parts;
    this.#state = state;
    this.#config = () => parts.config;
    this.book = new LearnedBook(() => this.#settings(), () => parts.clock(), (key, until) => this.#changed(key, until));
    this.control = {
      list: async () => ({ ...this.#config().learned, bypasses: this.book.list() }),
      forget: async (key) => {
        const forgotten = this.book.forget(key);
        parts.log.info({ key, forgotten }, 'learned bypasses forgotten by an operator');
        return forgotten;
      },
    };
    this.#sweep = setInterval(() => this.book.sweep(), parts.config.limits.learnedSweepMs).unref();
    const rows = state.prepare('SELECT key, client, name, ja4, refusals, since, until FROM learned ORDER BY since').all();
    for (const { key } of rows) this.#saved.add(String(key));
    this.book.restore(rows);
    // What has run out meanwhile leaves the database too.
    for (const key of this.#saved) this.#unsaved.add(key);
    if (rows.length > 0) this.#later();
  }

  tell(what: 'refused' | 'accepted', place: LearnedPlace): void {
    this.book[what](place);
  }

  listen(listener: LearnedChange): void {
    for (const [key, until] of this.book.snapshot()) listener(key, until);
    this.#listeners.add(listener);
  }

  unlisten(listener: LearnedChange): void {
    this.#listeners.delete(listener);
  }

  follow(config: () => Config): void {
    this.#config = config;
  }

  #settings(): LearnedSettings {
    const { learned: { failures, within, ttl }, limits } = this.#config();
    return { failures, withinMs: within, ttlMs: ttl, entriesMax: limits.learnedMax };
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#save();
    if (this.#saving !== null) clearTimeout(this.#saving);
    this.#state.close();
  }

  #changed(key: string, until: number | null): void {
    for (const listener of this.#listeners) listener(key, until);
    // Evidence is not kept over a restart: what is left of its window would be guesswork.
    if (until === 0) return;
    this.#parts.meter.set('learned_bypasses', [], this.book.size);
    if (until !== null) this.#parts.log.info({ key, until: new Date(until).toISOString() }, 'bypass learned: the client is tunnelled there from now on');
    // Forgotten before it was ever saved (as evidence always is): there is no row to drop.
    if (until === null && !this.#saved.has(key)) this.#unsaved.delete(key);
    else this.#unsaved.add(key);
    if (this.#unsaved.size > 0) this.#later();
  }

  #later(): void {
    this.#saving ??= setTimeout(() => this.#save(), this.#config().limits.stateSaveMs).unref();
  }

  #save(): void {
    if (this.#saving !== null) clearTimeout(this.#saving);
    this.#saving = null;
    if (this.#unsaved.size === 0) return;
    try {
      const put = this.#state.prepare('INSERT OR REPLACE INTO learned (key, client, name, ja4, refusals, since, until) VALUES (?, ?, ?, ?, ?, ?, ?)');
      const drop = this.#state.prepare('DELETE FROM learned WHERE key = ?');
      transaction(this.#state, () => {
        for (const key of this.#unsaved) {
          const bypass = this.book.find(key);
          if (bypass === null) drop.run(key);
          else put.run(key, bypass.client, bypass.name, bypass.ja4, bypass.refusals, bypass.since, bypass.until);
        }
      });
      for (const key of this.#unsaved) {
        if (this.book.find(key) === null) this.#saved.delete(key);
        else this.#saved.add(key);
      }
      this.#unsaved.clear();
      this.#failing = false;
    } catch (caught) {
      // Another process is writing: that passes.
      if (!isBusy(caught) && !this.#failing) {
        this.#failing = true;
        this.#parts.log.warn({ err: caught }, 'learned bypasses cannot be saved; tried again, and missing after a restart until then');
      }
      this.#later();
    }
  }
}
