// Asks a policy what it would do with recorded sessions, in the order in which a flow meets its stages. What a record cannot tell is taken to
// happen again: a server's errors, its certificate's problems, what was spoken. Requests inside HTTP, SIP and TURN are not judged.

import { tunnelOnErrorAllowed } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import { nothingLookedFor } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import type { Action } from '../core/session.ts';
import { revocationRule } from '../core/verdicts.ts';
import type { DetectSwitches, Policy, SslVerdict } from '../core/verdicts.ts';
import type { RecordedFlow } from './recorded.ts';

/** How a session ends up. `fail`: it ends with an error that no rule turns into a tunnel; `unseen`: what it is was never looked at. */
export type Fate = Action | 'fail' | 'unseen';

export interface Outcome {
  readonly fate: Fate;
  readonly rule: string;
}

/** A recorded session beside what the policy would do. */
export interface Replayed {
  readonly was: Outcome;
  readonly would: Outcome;
}

/** Null: the session ended before policy was asked, was judged request by request, or was answered whatever policy says. */
export function replay(policy: Policy, flow: RecordedFlow): Replayed | null {
  const was = recordedOutcome(flow);
  return was === null ? null : { was, would: new Walk(policy, flow).connection() };
}

/** Errors of requests and logins, which policy's first stages have no part in. */
const asideCodes: ReadonlySet<ErrorCode | null> = new Set<ErrorCode>(['REQUEST_DENIED', 'AUTH_REQUIRED']);
const turnable: ReadonlySet<ErrorCode | null> = new Set(tunnelOnErrorAllowed);

function recordedOutcome({ session: { action, rule, error, tunnelledOnError, chain }, outer }: RecordedFlow): Outcome | null {
  if (rule === null || rule === revocationRule || asideCodes.has(error)) return null;
  // Relayed instead only before the client was answered, which is not recorded.
  if (tunnelledOnError === null && handlerCodes.includes(error)) return null;
  // Plain requests to a proxy are judged one by one, and may go to as many servers.
  if (chain[0] === 'http-explicit' && outer === 'http') return null;
  if (error?.startsWith('UPSTREAM_CERT_') === true || error === 'CONNECTION_DENIED' || error === 'PROTOCOL_DENIED') return { fate: 'deny', rule };
  if (tunnelledOnError === null && turnable.has(error)) return { fate: 'fail', rule };
  return action === null ? null : { fate: action, rule };
}

/** Errors that are judged by the connection's rule: nothing but first bytes is known then. */
const strayCodes: readonly (ErrorCode | null)[] = ['NOT_TLS', 'FIRST_BYTES_STALLED'];
/** Errors of our own certificate, once the server's has been judged. */
const mintCodes: readonly (ErrorCode | null)[] = ['MINT_FAILED', 'MINT_QUEUE_FULL', 'CA_EXPIRED'];
/** Errors of what was found, after it was handed on. */
const handlerCodes: readonly (ErrorCode | null)[] = ['NOT_HTTP', 'HTTP_MALFORMED'];

class Walk {
  readonly #policy: Policy;
  readonly #flow: RecordedFlow;
  /** The error that the session met and that a rule may turn into a tunnel. */
  readonly #code: ErrorCode | null;

  constructor(policy: Policy, flow: RecordedFlow) {
    this.#policy = policy;
    this.#flow = flow;
    const { tunnelledOnError, error } = flow.session;
    this.#code = tunnelledOnError ?? (turnable.has(error) ? error : null);
  }

  connection(): Outcome {
    const { session, outer } = this.#flow;
    const verdict = this.#policy.connection(session);
    const { rule } = verdict;
    if (verdict.action !== 'allow') return { fate: verdict.action, rule };
    if (outer === null || outer === 'undetected') {
      // Nobody has looked: with every look switched off nobody would now either.
      if (!nothingLookedFor(verdict.detect.off, false)) return { fate: 'unseen', rule };
      return this.#protocol('undetected', 'none', verdict.tunnelOnError);
    }
    if (outer === 'tls') return verdict.detect.off.has('tls') ? this.#protocol(seenAs('tls', verdict.detect, false), 'none', verdict.tunnelOnError) : this.#ssl();
    const stray = strayCodes.includes(this.#code) ? this.#code : null;
    if (stray !== null && !verdict.tunnelOnError.has(stray)) return { fate: 'fail', rule };
    const name = seenAs(outer, verdict.detect, false);
    const outcome = this.#protocol(name, 'none', verdict.tunnelOnError);
    return stray !== null && outcome.fate !== 'deny' ? { ...outcome, fate: 'tunnel' } : outcome;
  }

  #ssl(): Outcome {
    const { session, problems } = this.#flow;
    const verdict = this.#policy.ssl(session);
    const { rule, action } = verdict;
    if (action === 'deny') return { fate: 'deny', rule };
    if (action === 'tunnel') return this.#closed(rule);
    if (action === 'intercept' && verdict.learned !== false && session.rule?.startsWith('learned/') === true) return this.#closed(session.rule);
    const code = this.#code;
    if (code !== null && !strayCodes.includes(code) && !handlerCodes.includes(code) && !mintCodes.includes(code)) {
      if (turns(verdict, code)) return this.#closed(rule);
      // What a server merely offers is no error where nobody listed it.
      if (code !== 'UPSTREAM_OFFERS_CLIENT_CERT') return { fate: 'fail', rule };
    }
    if (problems.length > 0) {
      const judged = this.#policy.certificate(session, problems);
      if (judged.action === 'deny') return { fate: 'deny', rule: judged.rule };
      return judged.action === 'tunnel' ? this.#closed(judged.rule) : this.#minted(verdict, judged.rule);
    }
    return action === 'intercept-on-exception' ? this.#closed(rule) : this.#minted(verdict, rule);
  }

  #minted(verdict: SslVerdict, rule: string): Outcome {
    const code = this.#code;
    if (code === null || !mintCodes.includes(code)) return this.#inside(verdict, rule);
    return turns(verdict, code) ? this.#closed(rule) : { fate: 'fail', rule };
  }

  /** TLS that stays closed is judged by the protocol stage as well. */
  #closed(rule: string): Outcome {
    const verdict = this.#policy.protocol(this.#flow.session, 'tls', 'tunnelled');
    return verdict.action === 'deny' ? { fate: 'deny', rule: verdict.rule } : { fate: 'tunnel', rule };
  }

  #inside(verdict: SslVerdict, rule: string): Outcome {
    const { inner } = this.#flow;
    if (!verdict.handoff) return this.#withRule(this.#protocol('undetected', 'intercepted', verdict.tunnelOnError), rule);
    // Never opened, or never looked into: the verdict holds, what the protocol stage would say of it is not known.
    if (inner === null || inner === 'undetected') return nothingLookedFor(verdict.detect.off, true) ? this.#withRule(this.#protocol('undetected', 'intercepted', verdict.tunnelOnError), rule) : { fate: 'intercept', rule };
    return this.#withRule(this.#protocol(seenAs(inner, verdict.detect, true), 'intercepted', verdict.tunnelOnError), rule);
  }

  /** Inside TLS the session shows the rule that opened it, unless a later one denied. */
  #withRule(outcome: Outcome, rule: string): Outcome {
    return outcome.fate === 'deny' ? outcome : { ...outcome, rule };
  }

  #protocol(name: ProtocolName, tls: 'intercepted' | 'none', listed: ReadonlySet<ErrorCode>): Outcome {
    const { session } = this.#flow;
    const { action, rule } = this.#policy.protocol(session, name, tls);
    if (action === 'deny') return { fate: 'deny', rule };
    if (action === 'relay') return { fate: 'relay', rule };
    const code = this.#code;
    if (code !== null && handlerCodes.includes(code)) {
      if (!listed.has(code)) return { fate: 'fail', rule };
      const again = this.#policy.protocol(session, 'unknown', tls);
      return { fate: again.action === 'deny' ? 'deny' : 'relay', rule: again.action === 'deny' ? again.rule : rule };
    }
    return { fate: tls === 'none' ? 'handoff' : 'intercept', rule };
  }
}

/** `clientCert` is more particular than `tunnelOnError` and wins where a certificate is required. */
function turns(verdict: SslVerdict, code: ErrorCode): boolean {
  if (code === 'UPSTREAM_WANTS_CLIENT_CERT') return verdict.clientCert === 'tunnel';
  return verdict.tunnelOnError.has(code) && (code !== 'UPSTREAM_OFFERS_CLIENT_CERT' || verdict.clientCert === 'tunnel');
}

function seenAs(name: ProtocolName, detect: DetectSwitches, insideTls: boolean): ProtocolName {
  if (nothingLookedFor(detect.off, insideTls)) return 'undetected';
  return detect.off.has(name) ? 'unknown' : name;
}
