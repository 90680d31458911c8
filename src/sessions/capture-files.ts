// The files of a capture: appended in the background, each up to captureFileBytesMax, the oldest of the folder removed beyond captureFilesMax.
// What the disk cannot take in time is dropped and counted; it never holds a flow up.

import { mkdir, open, readdir, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';

export interface CaptureFilesOptions {
  readonly folder: string;
  /** Part of every file's name: the time and the process. */
  readonly name: string;
  /** What every file begins with. */
  readonly head: Buffer;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly log: Logger;
}

/** They hold what people said: readable by the gateway's user alone. */
const fileMode = 0o600;
const folderMode = 0o700;
const ending = '.pcapng';

export class CaptureFiles {
  readonly #options: CaptureFilesOptions;
  /** Blocks to write; null begins the next file. */
  #waiting: (Buffer | null)[] = [];
  #waitingBytes = 0;
  #fileBytes = 0;
  #file: FileHandle | null = null;
  #writing: Promise<void> | null = null;
  #failed = false;
  #count = 0;
  /** Counts files: who put something at the beginning of one puts it into the next as well. */
  generation = 0;
  dropped = 0;
  bytes = 0;

  private constructor(options: CaptureFilesOptions) {
    this.#options = options;
  }

  /** Makes the folder and the first file. Rejects with the system's error when that fails. */
  static async start(options: CaptureFilesOptions): Promise<CaptureFiles> {
    const files = new CaptureFiles(options);
    await mkdir(options.folder, { recursive: true, mode: folderMode });
    await files.#next();
    return files;
  }

  /** Takes blocks that belong together. */
  write(blocks: readonly Buffer[]): void {
    const bytes = blocks.reduce((sum, block) => sum + block.length, 0);
    if (this.#failed || this.#waitingBytes + bytes > this.#options.limits.captureQueueBytesMax) {
      this.dropped += blocks.length;
      this.#options.meter.add('limits_hit_total', ['captureQueueBytesMax']);
      return;
    }
    this.#waiting.push(...blocks);
    this.#waitingBytes += bytes;
    this.#fileBytes += bytes;
    this.bytes += bytes;
    if (this.#fileBytes > this.#options.limits.captureFileBytesMax) {
      this.#waiting.push(null);
      this.#fileBytes = 0;
      this.generation += 1;
    }
    this.#writing ??= this.#drain();
  }

  /** Writes what waits, and closes. */
  async close(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    await this.#file?.close();
    this.#file = null;
    this.#failed = true;
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#waiting.length > 0) {
        const cut = this.#waiting.indexOf(null);
        const blocks = this.#waiting.splice(0, cut < 0 ? this.#waiting.length : cut).filter((block) => block !== null);
        if (blocks.length > 0) await this.#file?.appendFile(Buffer.concat(blocks));
        this.#waitingBytes -= blocks.reduce((sum, block) => sum + block.length, 0);
        if (cut < 0) continue;
        this.#waiting.shift();
        await this.#next();
      }
    } catch (caught) {
      this.#failed = true;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#options.log.error({ err: caught, folder: this.#options.folder }, 'the capture cannot be written; it ends here');
    }
    this.#writing = null;
  }

  async #next(): Promise<void> {
    const { folder, name, head, limits } = this.#options;
    await this.#file?.close();
    this.#count += 1;
    this.#file = await open(join(folder, `capture-${name}-${String(this.#count).padStart(4, '0')}${ending}`), 'wx', fileMode);
    await this.#file.appendFile(head);
    // Names begin with their time: their order is that of their age. Another process may remove the same one.
    const all = (await captureFilesIn(folder)).filter((file) => processOf(file) === processOf(`capture-${name}-`));
    for (const old of all.slice(0, Math.max(0, all.length - limits.captureFilesMax))) await rm(join(folder, old), { force: true });
  }
}

/** Names of the captures in a folder, oldest first; none when there is no folder. */
export async function captureFilesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.startsWith('capture-') && name.endsWith(ending)).toSorted();
}

/** The process's part of a file's name: `capture-TIME-PROCESS-NUMBER.pcapng`. */
function processOf(file: string): string {
  return file.split('-')[2] ?? '';
}
