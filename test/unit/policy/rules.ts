// Policies for tests: rules as they would stand in a config, read by the real schema, compiled with the services given.

import { policySchema } from '../../../src/config/policy-schema.ts';
import { compilePolicy } from '../../../src/policy/decide.ts';
import type { CompiledPolicy } from '../../../src/policy/decide.ts';
import type { HostList } from '../../../src/policy/host-list.ts';
import type { PolicyOptions, PolicyRules, ServiceSettings } from '../../../src/policy/rules.ts';

/** Reads rules as the config does; throws where the schema finds fault. */
export function rulesOf(written: object): PolicyRules {
  return policySchema.parse(written);
}

/** Options with services by name, each defaulting to an ssl service that detects everything. */
export function optionsWith(services: Record<string, Partial<ServiceSettings>> = { https: {} }, more: Partial<PolicyOptions> = {}): PolicyOptions {
  const entries = Object.entries(services).map(([name, settings]): [string, ServiceSettings] => [name, { type: 'ssl', detectProtocol: true, ...settings }]);
  return { services: new Map(entries), tunnelOnError: false, lists: new Map<string, HostList>(), verdictsMax: 1000, ...more };
}

/** A policy of rules as written, with services and options. */
export function policyOf(written: object, options: PolicyOptions = optionsWith()): CompiledPolicy {
  return compilePolicy(rulesOf(written), options);
}
