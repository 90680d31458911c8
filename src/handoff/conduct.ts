// The order of a flow: detect, decide, hand off, and again for each layer taken off. Verdicts and the whole of tunnel-on-error are
// here and nowhere else; a flow ends here with at most one error code.

import { errorTable, FlowError, toFlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { EntryDeps, Flow, Handled } from '../core/flow.ts';
import type { Limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import type { ConnectionVerdict, DetectSwitches, SslVerdict } from '../core/verdicts.ts';
import { nothingLookedFor, protocolRows, shownName } from '../core/protocols.ts';
import type { DetectedName, ProtocolName } from '../core/protocols.ts';
import { relay } from '../core/relay.ts';
import { endGently } from '../http/closing.ts';
import { isClientHello } from '../tls/client-hello.ts';
import type { ClientHello } from '../tls/client-hello.ts';
import { fingerprints } from '../tls/fingerprint.ts';
import { openTls } from '../tls/layer.ts';
import { noteHelloClaim, noteRequestClaim } from './claim.ts';
import type { ClaimDeps } from './claim.ts';
import { detect } from './detect.ts';
import type { Detection } from './detect.ts';
import { endUnanswered, leftAfterHandshake, orLeftWordless } from './endings.ts';
import { protocols } from './protocols.ts';
import { asksForRevocation, tellRevocation } from './revocation-first.ts';
import { judgeSuspect } from './suspect.ts';

/** What conduct needs besides what handlers may reach. */
export interface ConductDeps extends EntryDeps, ClaimDeps {
  /** The service's type: on `ssl`, bytes that are not TLS are NOT_TLS before they are anything else. */
  readonly serviceType: 'ssl' | 'http' | 'http-explicit' | 'socks' | 'tcp-tunnel';
  /** The rule `learned/...` of a client that keeps refusing our certificate for this name; null for others. Absent: nothing is learned. */
  readonly learnedBypass?: (session: Session) => string | null;
}

/** Where a round stands: the layer, and what earlier verdicts say of it. */
interface Round {
  readonly flow: Flow;
  readonly switches: DetectSwitches;
  readonly tunnelOnError: ReadonlySet<ErrorCode>;
  readonly serverFirst: boolean;
  /** False once an ssl rule said to relay what is decrypted without looking. */
  readonly handoff: boolean;
}

/** Handler failures after which every byte is still in the client's stream: handlers promise it for these codes. */
const putBack: ReadonlySet<ErrorCode> = new Set(['NOT_HTTP', 'HTTP_MALFORMED', 'SIP_MALFORMED', 'TURN_MALFORMED']);

/** Takes a flow from its first byte to its end. Rejects with the one FlowError it ends with; sockets may be open then. */
export async function conduct(entry: Flow, deps: ConductDeps): Promise<void> {
  const verdict = deps.policy.connection(entry.session);
  decided(entry.session, deps, 'connection', verdict);
  if (verdict.action !== 'allow') return await keepShut(entry, deps, verdict);
  let round: Round | 'done' = {
    flow: entry, switches: verdict.detect, tunnelOnError: verdict.tunnelOnError, serverFirst: verdict.serverFirst, handoff: true,
  };
  while (round !== 'done') {
    const { flow }: Round = round;
    try {
      round = await oneRound(round, deps);
    } catch (caught) {
      const error = toFlowError(caught);
      // Handlers and relays end their sockets themselves and may still have words to the server on the way.
      if (!endsItself.has(errorTable[error.code].stage) && error.code !== 'REQUEST_DENIED') {
        flow.upstream?.destroy();
        if (flow.client !== flow.raw) void endGently(flow.client, deps.limits.lingerMs);
      }
      throw error;
    }
  }
}

const endsItself: ReadonlySet<string> = new Set(['handler', 'relay']);

async function oneRound(round: Round, deps: ConductDeps): Promise<Round | 'done'> {
  const found = await look(round, deps);
  // Bytes inside TLS: the client has looked at the certificate and goes on.
  if (round.flow.insideTls && found.from === 'client') deps.noteAccepted(round.flow.session);
  if (round.flow.refusal !== undefined) return await refuse(round.flow, deps, found.row, new FlowError(round.flow.refusal.code));
  if (round.flow.depth === 0) deps.meter.observe('detect_seconds', [], (deps.clock() - round.flow.session.startedAt) / 1000);
  if (found.row === 'tls' && isClientHello(found.facts)) return await tlsRound(round, deps, found.facts);
  // Not awaited: what was looked at need not be kept for as long as the flow lives.
  if (!round.flow.insideTls || found.from !== 'upstream' || found.row !== 'h2') return protocolRound(round, deps, found);
  return await orLeftWordless(round.flow, deps, () => protocolRound(round, deps, found));
}

/** Detection of this layer, with the server asked where only it can tell. */
async function look(round: Round, deps: ConductDeps): Promise<Detection> {
  const { flow, switches } = round;
  const nothing: Detection = { row: null, suspect: false, facts: null, from: null, stalled: null, bytes: Buffer.alloc(0) };
  if (!round.handoff || flow.depth >= deps.limits.depthMax) return nothing;
  const options = {
    detectors: protocols, switches, insideTls: flow.insideTls, limits: deps.limits, raceNow: round.serverFirst,
    dialEarly: flow.upstream === null && flow.refusal === undefined ? () => deps.dialEarly(flow.session) : null,
  };
  try {
    const found = await detect(flow.client, flow.upstream, options);
    if (!found.suspect) return found;
    // Inside a layer there is no second connection to ask: pseudo-TLS in TLS does not happen.
    if (flow.depth === 0 && await judgeSuspect(found.bytes, flow.session, deps) === 'ms-turn') return { ...found, suspect: false };
    const off: ReadonlySet<ProtocolName> = new Set([...switches.off, 'ms-turn']);
    return await detect(flow.client, flow.upstream, { ...options, switches: { ...switches, off } });
  } catch (caught) {
    const error = toFlowError(caught);
    // A layer that was opened to tell why ends with that reason, whether the client waited for it or not.
    if (flow.refusal !== undefined) throw new FlowError(flow.refusal.code, flow.refusal.detail, error);
    throw flow.insideTls ? leftAfterHandshake(flow, deps, error) : error;
  }
}

async function tlsRound(round: Round, deps: ConductDeps, hello: ClientHello): Promise<Round | 'done'> {
  const { flow } = round;
  const { session } = flow;
  noteHello(session, hello, deps.limits);
  named(session, deps, 'tls');
  session.chain.push('tls');
  if (deps.matchName !== undefined) await noteHelloClaim(session, deps);
  const verdict = deps.policy.ssl(session);
  decided(session, deps, 'ssl', verdict);
  try {
    return await openedOrTunnelled(round, deps, hello, verdict);
  } catch (caught) {
    const error = toFlowError(caught);
    if (!answered(flow)) endUnanswered(flow, hello, error);
    throw error;
  }
}

/** Opens the layer; what fails while the client is unanswered becomes a tunnel where the verdict lists it. */
async function openedOrTunnelled(round: Round, deps: ConductDeps, hello: ClientHello, verdict: SslVerdict): Promise<Round | 'done'> {
  const { flow } = round;
  try {
    if (hello.problem !== null) throw new FlowError(hello.problem);
    if (hello.format === 'sslv2') throw new FlowError('NO_COMMON_TLS', 'SSLv2-style hello');
    if (verdict.action === 'deny') throw denied(flow, 'CONNECTION_DENIED', verdict.rule);
    // To find an exception the server must be spoken to, which is only possible where there can be a second connection to it.
    const unlooked = verdict.action === 'intercept-on-exception' && flow.upstream !== null;
    const learned = verdict.action === 'intercept' && verdict.learned !== false ? (deps.learnedBypass?.(flow.session) ?? null) : null;
    if (learned !== null) flow.session.rule = learned;
    if (verdict.action === 'tunnel' || unlooked || learned !== null) return await tunnelTls(flow, deps);
    flow.session.action = 'intercept';
    const inner = await openTls(flow, deps, { hello, verdict });
    if (inner === 'tunnel') return await tunnelTls(flow, deps);
    return inner === 'done' ? inner : innerRound(round, inner, verdict);
  } catch (caught) {
    const error = toFlowError(caught);
    // A server that is reached through an outer layer has heard us: there is no fresh connection to it.
    const lost = answered(flow) || flow.client.destroyed || flow.upstream?.destroyed === true;
    if (lost || !mayTunnel(verdict, error.code)) throw error;
    return await tunnelTls(flow, deps, error.code);
  }
}

function innerRound(outer: Round, flow: Flow, verdict: SslVerdict): Round {
  return { flow, switches: verdict.detect, tunnelOnError: verdict.tunnelOnError, serverFirst: false, handoff: outer.handoff && verdict.handoff };
}

/** `clientCert` is more particular than `tunnelOnError` and wins for the two codes it is about. */
function mayTunnel(verdict: SslVerdict, code: ErrorCode): boolean {
  if (code !== 'UPSTREAM_WANTS_CLIENT_CERT') return verdict.tunnelOnError.has(code);
  return verdict.clientCert === 'tunnel';
}

/** TLS that stays closed is judged by the protocol stage too, as `tls: tunnelled`. */
async function tunnelTls(flow: Flow, deps: ConductDeps, because: ErrorCode | null = null): Promise<'done'> {
  const verdict = deps.policy.protocol(flow.session, 'tls', 'tunnelled');
  if (verdict.action === 'deny') throw denied(flow, 'PROTOCOL_DENIED', verdict.rule, 'tls');
  if (because !== null) tunnelledOn(flow.session, deps, because);
  await tunnel(flow, deps, 'tls');
  return 'done';
}

async function protocolRound(round: Round, deps: ConductDeps, found: Detection): Promise<Round | 'done'> {
  const { flow, switches } = round;
  const { session } = flow;
  const looked = round.handoff && !nothingLookedFor(round.switches.off, flow.insideTls);
  const name: ProtocolName = found.row !== null ? shownName(found.row, flow.insideTls) : looked ? 'unknown' : 'undetected';
  named(session, deps, name);
  session.chain.push(name);
  if (found.row === null) session.note = noteOf(found, looked);
  if (found.row === 'http' && deps.matchName !== undefined) await noteRequestClaim(flow, deps);
  const stray = strayCode(found, round, deps);
  if (stray !== null && !round.tunnelOnError.has(stray)) throw new FlowError(stray, name);
  const verdict = deps.policy.protocol(session, name, flow.insideTls ? 'intercepted' : 'none');
  decided(session, deps, 'protocol', verdict, !flow.insideTls || verdict.action === 'deny');
  const unheard = found.row === null ? switches.off.has('http') : found.row === 'http' && (stray !== null || verdict.action !== 'handoff');
  if (unheard && await asksForRevocation(flow, deps)) return await tellRevocation(flow, deps);
  if (verdict.action === 'deny') return await refuse(flow, deps, found.row, new FlowError('PROTOCOL_DENIED', name), verdict.rule);
  if (stray !== null) {
    tunnelledOn(session, deps, stray);
    return await relayBytes(flow, deps, 'tunnel');
  }
  if (found.row === null || verdict.action === 'relay') return await relayBytes(flow, deps, 'relay');
  session.action = flow.insideTls ? 'intercept' : 'handoff';
  return handOff(round, deps, found.row, found.facts);
}

async function handOff(round: Round, deps: ConductDeps, row: DetectedName, facts: unknown): Promise<Round | 'done'> {
  const { flow } = round;
  const { session } = flow;
  let handled: Handled;
  deps.recorder?.layer(flow);
  try {
    handled = await protocols[row].handle(flow, deps, facts);
  } catch (caught) {
    const error = toFlowError(caught);
    if (!putBack.has(error.code) || flow.client.destroyed) throw error;
    if (!round.tunnelOnError.has(error.code)) return await refuse(flow, deps, row, error);
    tunnelledOn(session, deps, error.code);
    named(session, deps, 'unknown');
    const verdict = deps.policy.protocol(session, 'unknown', flow.insideTls ? 'intercepted' : 'none');
    if (verdict.action === 'deny') return await refuse(flow, deps, row, new FlowError('PROTOCOL_DENIED', 'unknown'), verdict.rule);
    return await relayBytes(flow, deps, 'relay');
  }
  if (handled === 'done') return handled;
  return handled === 'tunnel' ? await relayBytes(flow, deps, 'relay') : { ...round, flow: handled };
}

/** First bytes that a service of type ssl, or the wait for them, does not allow: judged by tunnelOnError before the protocol stage. */
function strayCode(found: Detection, { flow, switches }: Round, deps: ConductDeps): ErrorCode | null {
  if (flow.depth > 0) return null;
  if (found.stalled !== null) return found.stalled;
  // What TURN clients send to port 443 is known, whatever it looks like.
  const known = found.row !== null && protocolRows[found.row].groups.some((group) => group === 'turn-any');
  // Where a rule switched the look for TLS off, nobody knows that it is none.
  return deps.serviceType === 'ssl' && !known && !switches.off.has('tls') ? 'NOT_TLS' : null;
}

function noteOf(found: Detection, looked: boolean): string {
  if (!looked) return 'detection is off';
  if (found.from === 'upstream') return 'the server spoke first';
  return found.stalled === null ? 'no protocol matches' : 'too few first bytes in time';
}

/** Tells the client in its own protocol where that is known, and ends the flow with the error. */
async function refuse(flow: Flow, deps: ConductDeps, row: DetectedName | null, error: FlowError, rule?: string): Promise<never> {
  if (rule !== undefined) flow.session.rule = rule;
  if (errorTable[error.code].stage !== 'detect' && errorTable[error.code].stage !== 'handler') flow.session.action = 'deny';
  const refusal = flow.refusal ?? { code: error.code, detail: error.detail, rule: flow.session.rule, status: null };
  if (row !== null) await protocols[row].refuse?.(flow, deps, refusal);
  throw flow.refusal === undefined ? error : new FlowError(refusal.code, refusal.detail);
}

async function tunnel(flow: Flow, deps: ConductDeps, name: ProtocolName): Promise<void> {
  named(flow.session, deps, name);
  if (name === 'undetected') flow.session.chain.push(name);
  await relayBytes(flow, deps, 'tunnel');
}

async function relayBytes(flow: Flow, deps: ConductDeps, action: 'relay' | 'tunnel'): Promise<'done'> {
  flow.session.action = action;
  const upstream = flow.upstream ?? await deps.dial(flow);
  if (action === 'relay') deps.recorder?.layer(flow);
  const { relayIdleMs, halfOpenMs, injectBytesMax } = deps.limits;
  await relay(flow.client, upstream, { idleMs: relayIdleMs, halfOpenMs, injectBytesMax });
  return 'done';
}

async function keepShut(flow: Flow, deps: ConductDeps, { action, rule }: ConnectionVerdict): Promise<void> {
  if (await asksForRevocation(flow, deps)) await tellRevocation(flow, deps);
  else if (action === 'deny') throw denied(flow, 'CONNECTION_DENIED', rule);
  else await tunnel(flow, deps, 'undetected');
}

function answered(flow: Flow): boolean {
  return flow.raw.bytesWritten > flow.repliedBytes;
}

function named(session: Session, deps: ConductDeps, name: ProtocolName): void {
  session.protocol = name;
  deps.protocolChanged(session);
}

function noteHello(session: Session, hello: ClientHello, limits: Limits): void {
  session.sni = hello.sni ?? session.sni;
  session.alpn = hello.alpn;
  if (hello.problem !== null || hello.format !== 'tls') return;
  const { ja3, ja4 } = fingerprints(hello, limits);
  session.ja3 = ja3;
  session.ja4 = ja4;
}

function decided(session: Session, deps: ConductDeps, stage: 'connection' | 'ssl' | 'protocol', verdict: { action: string; rule: string }, shown = true): void {
  deps.meter.add('policy_decisions_total', [stage, verdict.action]);
  if (shown) session.rule = verdict.rule;
}

function denied(flow: Flow, code: ErrorCode, rule: string, protocol: ProtocolName | null = null): FlowError {
  flow.session.action = 'deny';
  flow.session.rule = rule;
  return new FlowError(code, protocol);
}

function tunnelledOn(session: Session, deps: ConductDeps, code: ErrorCode): void {
  session.tunnelledOnError = code;
  deps.meter.add('tunnelled_on_error_total', [code]);
}
