// Sessions for tests of decisions: a plain one with what a test sets.

import type { Session } from '../../../src/core/flow.ts';

/** A session of an ssl service to 203.0.113.9:443, changed by `facts`. */
export function sessionWith(facts: Partial<Session> = {}): Session {
  return {
    id: 'x-1', service: 'https', client: { ip: '10.1.2.3', port: 50_000 }, destination: { ip: '203.0.113.9', port: 443, host: null },
    startedAt: Date.UTC(2025, 10, 19, 12), endedAt: null, state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol: 'pending', chain: [],
    action: null, tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {}, ...facts,
  };
}
