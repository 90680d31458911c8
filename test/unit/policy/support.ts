// Support for tests of policy: rules as they would stand in a config, read by the real schema, and sessions to judge.

import { policySchema } from '../../../src/config/policy-schema.ts';
import type { Session } from '../../../src/core/session.ts';
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

/** A session of an ssl service to 203.0.113.9:443, changed by `facts`. */
export function sessionWith(facts: Partial<Session> = {}): Session {
  return {
    id: 'x-1', service: 'https', client: { ip: '10.1.2.3', port: 50_000 }, destination: { ip: '203.0.113.9', port: 443, host: null },
    startedAt: Date.UTC(2025, 10, 19, 12), endedAt: null, state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'pending', chain: [],
    action: null, tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {}, ...facts,
  };
}
