// Joins a loaded config with the policy compiler: services as policy sees them, list files read, rules compiled and looked over.
// It reads files and nothing else; what is wrong comes back with lines.

import type { ConfigFault, LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { compilePolicy } from '../policy/decide.ts';
import type { CompiledPolicy } from '../policy/decide.ts';
import { loadHostLists } from '../policy/host-files.ts';
import type { HostList } from '../policy/host-list.ts';
import { lint } from '../policy/lint.ts';
import type { PolicyOptions } from '../policy/rules.ts';

/** A config that can be used, with its policy. */
export interface ReadyConfig {
  readonly ok: true;
  readonly config: Config;
  readonly policy: CompiledPolicy;
  /** Of the config and of its policy, in the order of lines. */
  readonly warnings: readonly ConfigFault[];
}

/** What policy must know of a config besides its rules. */
export function policyOptions(config: Config, lists: ReadonlyMap<string, HostList>): PolicyOptions {
  return {
    services: new Map(config.services.map((service) => [service.name, service])),
    tunnelOnError: config.tunnelOnError,
    lists,
    verdictsMax: config.limits.policyVerdictsMax,
  };
}

/** Compiles a loaded config's policy; faults of list files make it unusable like faults of the config. */
export function readyConfig(loaded: LoadedConfig, fileName: string): ReadyConfig | { readonly ok: false; readonly faults: readonly ConfigFault[] } {
  if (!loaded.ok) return loaded;
  const { config } = loaded;
  const placed = ({ path, problem }: { path: string; problem: string }): ConfigFault => ({ file: fileName, line: loaded.lineOf(path), path, problem });
  const { lists, faults } = loadHostLists(config.policy, config.limits.policyListMax);
  if (faults.length > 0) return { ok: false, faults: faults.map(placed) };
  const options = policyOptions(config, lists);
  const policy = compilePolicy(config.policy, options);
  const warnings = lint(config.policy, options).map(({ path, problem }) => placed({ path, problem: `warning: ${problem}` }));
  return { ok: true, config, policy, warnings: [...loaded.warnings, ...warnings].sort((a, b) => a.line - b.line) };
}
