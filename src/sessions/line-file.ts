// A file of lines that only grows and that logrotate may move away. Lines wait in memory only as far as accessLogQueueBytesMax;
// what does not fit is dropped, counted and logged. It knows nothing of what lines say.

import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';

export interface LineFileOptions {
  readonly path: string;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly log: Logger;
}

export interface LineFile {
  /** Takes a line, its end included. */
  add(line: string): void;
  /** Closes the file and opens the path anew, for logrotate. Rejects when that fails; lines then still go to the old file. */
  reopen(): Promise<void>;
  /** Writes what waits, and closes. */
  close(): Promise<void>;
}

/** Readable by the gateway's user and group: lines hold names and addresses. */
const fileMode = 0o640;
/** Node 24 writes up to 512 KiB in one system call; a batch must not be cut in two. */
const batchCharactersMax = 128 * 1024;

/** Opens a file for appending. Rejects with the system's error when it cannot be opened. */
export async function openLineFile(options: LineFileOptions): Promise<LineFile> {
  return new LineWriter(options, await open(options.path, 'a', fileMode));
}

/** Writes whole batches of lines, one at a time: with O_APPEND the lines of several workers do not mix. */
class LineWriter implements LineFile {
  readonly #options: LineFileOptions;
  #file: FileHandle;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  /** The last write failed and may have left half a line. */
  #torn = false;
  #writing: Promise<void> | null = null;
  /** The batch that is on its way to the file. */
  #append: Promise<void> | null = null;
  #closing = false;
  /** Ends the wait for more lines; null when none is waited for. */
  #hurry: (() => void) | null = null;

  constructor(options: LineFileOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  add(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > this.#options.limits.accessLogQueueBytesMax) {
      this.#drop(1);
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    if (this.#writing === null) this.#writing = this.#drain();
    else if (this.#waitingBytes > batchCharactersMax) this.#hurry?.();
  }

  async reopen(): Promise<void> {
    const next = await open(this.#options.path, 'a', fileMode);
    const old = this.#file;
    // Whatever waits goes to the new file; only the batch that is being written still belongs to the old one.
    this.#file = next;
    await this.#append;
    await old.close();
  }

  async close(): Promise<void> {
    this.#closing = true;
    while (this.#writing !== null) {
      this.#hurry?.();
      await this.#writing;
    }
    await this.#file.close();
  }

  /** Never rejects: a full disk must not end a flow. */
  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (!this.#closing && this.#waitingBytes <= batchCharactersMax) await this.#moreLines();
      const { lines, bytes } = this.#takeBatch();
      this.#append = this.#write(lines);
      await this.#append;
      this.#append = null;
      this.#waitingBytes -= bytes;
      if (this.#dropped > 0) this.#options.log.warn({ lines: this.#dropped, path: this.#options.path }, 'log lines were dropped: the disk is too slow or full');
      this.#dropped = 0;
    }
    this.#writing = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    try {
      await this.#file.appendFile(this.#torn ? `\n${lines.join('')}` : lines.join(''));
      this.#torn = false;
    } catch (caught) {
      this.#torn = true;
      this.#drop(lines.length);
      this.#options.log.error({ error: caught, path: this.#options.path }, 'a log of lines cannot be written');
    }
  }

  /** A write costs as much as a few requests: lines wait for each other, until there is a batch of them or somebody closes. */
  #moreLines(): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#hurry = null;
        resolve();
      };
      const timer = setTimeout(go, this.#options.limits.logBatchMs);
      this.#hurry = go;
    });
  }

  #takeBatch(): { lines: string[]; bytes: number } {
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && bytes + line.length > batchCharactersMax) break;
      bytes += Buffer.byteLength(line);
      count += 1;
    }
    return { lines: this.#waiting.splice(0, count), bytes };
  }

  #drop(lines: number): void {
    this.#dropped += lines;
    this.#options.meter.add('limits_hit_total', ['accessLogQueueBytesMax'], lines);
  }
}
