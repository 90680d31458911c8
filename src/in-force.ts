// The config in force, and how another takes its place: by order or because a file changed, read, checked whole, and only then handed to
// the traffic side. A bad one changes nothing and says why.

import { readFile } from 'node:fs/promises';
import { fileMark } from './certs/files.ts';
import { readyConfig } from './commands/policy.ts';
import type { ReadyConfig } from './commands/policy.ts';
import { builtinName } from './config/builtin.ts';
import { faultText, loadConfig } from './config/load.ts';
import type { GatewayOptions, Traffic } from './traffic.ts';

/** Keys that only a restart changes: they are opened once, by the primary process. */
const fixedKeys = ['state', 'workers', 'admin', 'issuer', 'issuers', 'logging', 'capture'] as const;

/** What files look like (certs/files.ts), by name. */
type Marks = ReadonlyMap<string, string>;

export class InForce {
  readonly #options: GatewayOptions;
  readonly #traffic: Traffic;
  #ready: ReadyConfig;
  #reloading: Promise<readonly string[]> | null = null;
  /** What the files looked like when they were last read, and a change seen once: a file is taken when it has stopped changing. */
  #taken: Marks = new Map();
  #changing: Marks | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: GatewayOptions, traffic: Traffic) {
    this.#options = options;
    this.#traffic = traffic;
    this.#ready = options.ready;
  }

  get ready(): ReadyConfig {
    return this.#ready;
  }

  /** Reads the config's file again and takes it. Two calls at once are one. */
  reload(): Promise<readonly string[]> {
    this.#reloading ??= this.#take().finally(() => { this.#reloading = null; });
    return this.#reloading;
  }

  /** From now on a changed file is a reload. Looks at the files again and again, since they may be replaced, linked or on another machine. */
  async follow(): Promise<void> {
    if (this.#options.source.fileName === builtinName) return;
    this.#taken = await this.#marks();
    const look = (): void => {
      void this.#look().finally(() => { if (this.#timer !== null) this.#later(look); });
    };
    this.#later(look);
  }

  /** Changed files are no reload any more. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #later(look: () => void): void {
    this.#timer = setTimeout(look, this.#ready.config.limits.configCheckMs).unref();
  }

  async #look(): Promise<void> {
    const now = await this.#marks();
    const settled = this.#changing !== null && same(now, this.#changing);
    this.#changing = same(now, this.#taken) ? null : now;
    if (this.#changing !== null && settled) await this.reload();
  }

  /** Everything that is read with the config: itself, list files, roots. */
  async #marks(): Promise<Marks> {
    const { config: { upstream: { ca, extraCa } }, policy } = this.#ready;
    const files = [this.#options.source.fileName, ...policy.options.lists.keys(), ...extraCa, ...(ca === 'system' || ca === 'none' ? [] : [ca])];
    return new Map(await Promise.all(files.map(async (file): Promise<[string, string]> => [file, await fileMark(file).catch(() => null) ?? 'absent'])));
  }

  async #take(): Promise<readonly string[]> {
    const { log, source: { fileName } } = this.#options;
    if (fileName === builtinName) return ['the built-in config cannot change: start with -c FILE'];
    const before = await this.#marks();
    this.#taken = before;
    try {
      const text = await readFile(fileName, 'utf8');
      const ready = readyConfig(loadConfig(text, fileName), fileName);
      if (!ready.ok) return this.#refused(ready.faults.map(faultText));
      await this.#traffic.reload(ready, text);
      const fixed = fixedKeys.filter((key) => JSON.stringify(ready.config[key]) !== JSON.stringify(this.#options.ready.config[key]));
      if (fixed.length > 0) log.warn({ keys: fixed }, 'these keys change with the next start');
      this.#ready = ready;
      // It may name other files than the one before; a change of the same ones since they were read is still to be noticed.
      this.#taken = new Map([...await this.#marks()].map(([file, mark]) => [file, before.get(file) ?? mark]));
      log.info({ file: fileName }, 'config reloaded');
      return [];
    } catch (caught) {
      return this.#refused([caught instanceof Error ? caught.message : String(caught)]);
    }
  }

  #refused(faults: readonly string[]): readonly string[] {
    this.#options.log.error({ faults }, 'the config was not reloaded; the old one stays in force');
    return faults;
  }
}

function same(one: Marks, other: Marks): boolean {
  return one.size === other.size && [...one].every(([file, mark]) => other.get(file) === mark);
}
