// What policy says of a client that has named its destination to an explicit service, before anything is dialled or answered: so that a
// refusal can still be told in the entry's own words. It notes the verdict in the session; it tells nobody.

import { FlowError } from './errors.ts';
import type { Meter } from './meters.ts';
import { nothingLookedFor } from './protocols.ts';
import type { Session } from './session.ts';
import type { Policy } from './verdicts.ts';

/** Why the client may not go on, null when it may. With nothing looked for it is known now that what follows is `undetected`. */
export function entryRefusal(session: Session, { policy, meter }: { readonly policy: Policy; readonly meter: Meter }): FlowError | null {
  const verdict = policy.connection(session);
  if (verdict.action === 'deny') return refused(session, meter, 'connection', verdict.rule);
  if (verdict.action !== 'allow' || !nothingLookedFor(verdict.detect.off, false)) return null;
  const protocol = policy.protocol(session, 'undetected', 'none');
  return protocol.action === 'deny' ? refused(session, meter, 'protocol', protocol.rule) : null;
}

function refused(session: Session, meter: Meter, stage: 'connection' | 'protocol', rule: string): FlowError {
  meter.add('policy_decisions_total', [stage, 'deny']);
  session.action = 'deny';
  session.rule = rule;
  return new FlowError(stage === 'connection' ? 'CONNECTION_DENIED' : 'PROTOCOL_DENIED');
}
