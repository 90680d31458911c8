// The learned bypasses of a whole gateway: the book with its file in the state folder, its figure, and those who listen to it. One for a
// gateway, in the process that owns the state folder.

import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LearnedControl } from './admin/options.ts';
import type { Config } from './config/schema.ts';
import type { Logger } from './core/log.ts';
import type { Meter } from './core/meters.ts';
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
  close(): Promise<void>;
}

export interface LearnedParts {
  readonly config: Config;
  readonly meter: Meter;
  readonly log: Logger;
  clock(): number;
}

/** How often what has run out is dropped; bypasses end on time by themselves. */
const sweepMs = 30_000;
/** Changes of this time are saved together. */
const saveDelayMs = 500;

/** Opens the book with what the state folder holds. A file that cannot be read counts as empty, with a warning. */
export async function openLearned(parts: LearnedParts): Promise<LearnedService> {
  const service = new Learned(parts);
  try {
    service.book.restore(JSON.parse(await readFile(fileOf(parts.config), 'utf8')));
  } catch (caught) {
    if (!(caught instanceof Error && 'code' in caught && caught.code === 'ENOENT')) parts.log.warn({ err: caught }, 'learned bypasses of the last run cannot be read');
  }
  return service;
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

function fileOf(config: Config): string {
  return join(config.state, 'learned.json');
}

class Learned implements LearnedService {
  readonly book: LearnedBook;
  readonly control: LearnedControl;
  readonly #parts: LearnedParts;
  readonly #listeners = new Set<LearnedChange>();
  readonly #sweep: NodeJS.Timeout;
  #config: () => Config;
  #saving: NodeJS.Timeout | null = null;
  #saved: Promise<void> = Promise.resolve();

  constructor(parts: LearnedParts) {
    this.#parts = parts;
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
    this.#sweep = setInterval(() => this.book.sweep(), sweepMs).unref();
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

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    if (this.#saving !== null) {
      clearTimeout(this.#saving);
      this.#save();
    }
    await this.#saved;
  }

  #changed(key: string, until: number | null): void {
    for (const listener of this.#listeners) listener(key, until);
    // Evidence is not kept over a restart: what is left of its window would be guesswork.
    if (until === 0) return;
    this.#parts.meter.set('learned_bypasses', [], this.book.size);
    if (until !== null) this.#parts.log.info({ key, until: new Date(until).toISOString() }, 'bypass learned: the client is tunnelled there from now on');
    this.#saving ??= setTimeout(() => this.#save(), saveDelayMs).unref();
  }

  #save(): void {
    this.#saving = null;
    const { log } = this.#parts;
    const text = `${JSON.stringify(this.book.list().map(({ client, name, ja4, refusals, since, until }) => ({ client, name, ja4, refusals, since, until })).reverse())}\n`;
    this.#saved = this.#saved.then(() => replace(fileOf(this.#parts.config), text)).catch((caught: unknown) => log.error({ err: caught }, 'learned bypasses cannot be saved'));
  }
}

/** Readable by the owner alone, written whole or not at all. */
async function replace(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
