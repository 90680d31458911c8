// The config in force, and how another takes its place: read, checked whole, and only then handed to the traffic side. A bad one
// changes nothing and says why.

import { readFile } from 'node:fs/promises';
import { readyConfig } from './commands/policy.ts';
import type { ReadyConfig } from './commands/policy.ts';
import { builtinName } from './config/builtin.ts';
import { faultText, loadConfig } from './config/load.ts';
import type { GatewayOptions, Traffic } from './traffic.ts';

/** Keys that only a restart changes: they are opened once, by the primary process. */
const fixedKeys = ['state', 'workers', 'admin', 'issuer', 'issuers', 'logging', 'capture'] as const;

export class InForce {
  readonly #options: GatewayOptions;
  readonly #traffic: Traffic;
  #ready: ReadyConfig;
  #reloading: Promise<readonly string[]> | null = null;

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

  async #take(): Promise<readonly string[]> {
    const { log, source: { fileName } } = this.#options;
    if (fileName === builtinName) return ['the built-in config cannot change: start with -c FILE'];
    try {
      const text = await readFile(fileName, 'utf8');
      const ready = readyConfig(loadConfig(text, fileName), fileName);
      if (!ready.ok) return this.#refused(ready.faults.map(faultText));
      await this.#traffic.reload(ready, text);
      const fixed = fixedKeys.filter((key) => JSON.stringify(ready.config[key]) !== JSON.stringify(this.#options.ready.config[key]));
      if (fixed.length > 0) log.warn({ keys: fixed }, 'these keys change with the next start');
      this.#ready = ready;
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
