// The connection and protocol stages for a request of the explicit proxy: each origin of one client connection is judged on its own.
// Pure but for the session, which shows where the last request went.

import { isIP } from 'node:net';
import type { Deps, Refusal } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import type { Target } from './forward-target.ts';

/** Makes the session go to the target and asks the two stages; null when it may. */
export function judgeOrigin(session: Session, deps: Deps, target: Pick<Target, 'host' | 'port'>): Refusal | null {
  goTo(session, target);
  const connection = deps.policy.connection(session);
  deps.meter.add('policy_decisions_total', ['connection', connection.action]);
  if (connection.action === 'deny') return denied(session, 'CONNECTION_DENIED', connection.rule);
  const protocol = deps.policy.protocol(session, 'http', 'none');
  deps.meter.add('policy_decisions_total', ['protocol', protocol.action]);
  session.rule = protocol.rule;
  return protocol.action === 'deny' ? denied(session, 'PROTOCOL_DENIED', protocol.rule, 'http') : null;
}

/** The session's destination as an explicit client named it: an address is known at once, so that rules on networks see it. */
export function goTo(session: Session, { host, port }: Pick<Target, 'host' | 'port'>): void {
  const { destination } = session;
  if (destination.host === host && destination.port === port) return;
  destination.host = host;
  destination.ip = isIP(host) === 0 ? null : host;
  destination.port = port;
}

function denied(session: Session, code: Refusal['code'], rule: string, detail: string | null = null): Refusal {
  if (session.action !== 'handoff') session.action = 'deny';
  session.rule = rule;
  return { code, detail, rule, status: null };
}

/** What clients are told that do not speak to a proxy as one does. */
export const originForm: Refusal = {
  code: 'HTTP_MALFORMED', rule: null, status: 400,
  detail: 'this is a proxy: it wants an absolute target (GET http://host/path) or CONNECT host:port, not a bare path',
};
export const notForwarded: Refusal = { code: 'HTTP_MALFORMED', rule: null, status: 400, detail: 'the proxy forwards http://host/path; for everything else use CONNECT host:port' };
