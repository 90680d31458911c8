// Explains decisions: for a described flow the verdict of every stage, the rule that gave it and why the rules before it did
// not match. It asks the compiled policy itself, so that the answer is what a real flow would get.

import { policyStages } from '../core/verdicts.ts';
import type { ConnectionVerdict, PolicyStage, SslVerdict } from '../core/verdicts.ts';
import { detectedNames, nothingLookedFor, protocolStates, shownName } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import type { CompiledPolicy } from './decide.ts';
import type { ExplainFacts } from './explain-facts.ts';
import { Facts } from './facts.ts';
import type { TlsState } from './rules.ts';

/** A condition that did not hold. */
export interface FailedCondition {
  readonly key: string;
  readonly wanted: string;
  /** Null: the flow has no such fact. */
  readonly found: string | null;
}

/** A rule that did not match. */
export interface PassedRule {
  readonly rule: string;
  readonly failed: readonly FailedCondition[];
}

/** One stage. `asked: false`: it would not be judged, and `note` says why. */
export interface StageTrace {
  readonly stage: PolicyStage;
  readonly asked: boolean;
  readonly action: string | null;
  readonly rule: string | null;
  readonly note: string | null;
  /** What goes with the verdict, in words. */
  readonly settings: Readonly<Record<string, string>>;
  /** Rules before the one that matched, or all. */
  readonly passed: readonly PassedRule[];
}

export interface PolicyTrace {
  readonly service: string;
  readonly stages: readonly StageTrace[];
}

/** The verdicts for a flow, stage by stage, until one ends it. */
export function explainPolicy(policy: CompiledPolicy, asked: ExplainFacts): PolicyTrace {
  const facts = new Facts().begin(asked.session);
  facts.problems = asked.problems;
  facts.http = asked.http;
  facts.sip = asked.sip;
  facts.turn = asked.turn;
  const walk = new Walk(policy, asked, facts);
  const steps: Record<PolicyStage, () => StageTrace> = {
    connection: () => walk.connection(), ssl: () => walk.ssl(), certificate: () => walk.certificate(), protocol: () => walk.protocol(),
    http: () => walk.request('http'), sip: () => walk.request('sip'), turn: () => walk.request('turn'),
  };
  return { service: asked.session.service, stages: policyStages.map((stage) => steps[stage]()) };
}

/** Goes through the stages in order and remembers what ended the flow or left it closed. */
class Walk {
  readonly #policy: CompiledPolicy;
  readonly #asked: ExplainFacts;
  readonly #facts: Facts;
  /** Why later stages are not judged; null while the flow goes on. */
  #over: string | null = null;
  #ssl: SslVerdict | null = null;
  #tls: TlsState = 'none';
  #off: ReadonlySet<ProtocolName> = new Set();

  constructor(policy: CompiledPolicy, asked: ExplainFacts, facts: Facts) {
    this.#policy = policy;
    this.#asked = asked;
    this.#facts = facts;
  }

  connection(): StageTrace {
    const { session } = this.#asked;
    const verdict = this.#policy.connection(session);
    this.#off = verdict.detect.off;
    if (verdict.action === 'deny') this.#over = `${verdict.rule} denies the connection`;
    if (verdict.action === 'tunnel') this.#over = `${verdict.rule} tunnels the connection unseen`;
    const settings = verdict.action === 'allow' ? { ...detectionWords(verdict), tunnelOnError: this.#errorWords('connection', verdict.tunnelOnError), ...(verdict.serverFirst ? { serverFirst: 'true' } : {}) } : {};
    return this.#judged('connection', verdict.action, verdict.rule, settings);
  }

  ssl(): StageTrace {
    if (this.#over !== null) return skipped('ssl', this.#over);
    if (!this.#asked.tls) return skipped('ssl', 'the flow is not TLS');
    if (this.#off.has('tls')) return skipped('ssl', 'tls is not looked for here (detectProtocol, or a rule\'s detect)');
    const verdict = this.#policy.ssl(this.#asked.session);
    this.#ssl = verdict;
    this.#tls = verdict.action === 'intercept' ? 'intercepted' : 'tunnelled';
    if (verdict.action === 'deny') this.#over = `${verdict.rule} denies the connection`;
    const opens = verdict.action === 'intercept' || verdict.action === 'intercept-on-exception';
    if (opens) this.#off = verdict.detect.off;
    const settings = opens
      ? { handoff: String(verdict.handoff), clientCert: verdict.clientCert, tunnelOnError: this.#errorWords('ssl', verdict.tunnelOnError), ...detectionWords(verdict), clientMinVersion: verdict.clientMinVersion, ...(verdict.issuer === null ? {} : { issuer: verdict.issuer }), ...(verdict.revocation === undefined ? {} : { revocation: verdict.revocation }) }
      : {};
    return this.#judged('ssl', verdict.action, verdict.rule, settings);
  }

  certificate(): StageTrace {
    if (this.#over !== null) return skipped('certificate', this.#over);
    if (this.#ssl === null || this.#ssl.action === 'tunnel') return skipped('certificate', 'TLS is not opened');
    if (this.#asked.problems.length === 0) return skipped('certificate', 'the certificate has no problem (ask with problem)');
    const verdict = this.#policy.certificate(this.#asked.session, this.#asked.problems);
    if (verdict.action === 'deny') this.#over = `${verdict.rule} denies the server`;
    if (verdict.action === 'tunnel') this.#tls = 'tunnelled';
    return this.#judged('certificate', verdict.action, verdict.rule, {});
  }

  protocol(): StageTrace {
    if (this.#over !== null) return skipped('protocol', this.#over);
    const { protocol, note } = this.#protocolSeen();
    this.#facts.protocol = protocol;
    this.#facts.tls = this.#tls;
    const verdict = this.#policy.protocol(this.#asked.session, protocol, this.#tls);
    if (verdict.action === 'deny') this.#over = `${verdict.rule} denies ${protocol}`;
    if (verdict.action === 'relay') this.#over = `${verdict.rule} relays ${protocol} unparsed`;
    const trace = this.#judged('protocol', verdict.action, verdict.rule, { protocol, tls: this.#tls });
    return note === null ? trace : { ...trace, note };
  }

  request(stage: 'http' | 'sip' | 'turn'): StageTrace {
    if (this.#over !== null) return skipped(stage, this.#over);
    if (this.#tls === 'tunnelled') return skipped(stage, 'TLS is not opened');
    if (!stageNames[stage].includes(this.#facts.protocol)) return skipped(stage, `the protocol is ${this.#facts.protocol}`);
    const session = { ...this.#asked.session, protocol: this.#facts.protocol };
    this.#facts.session = session;
    const { http, sip, turn } = this.#asked;
    const verdict = stage === 'http' && http !== null ? this.#policy.http(session, http) : stage === 'sip' && sip !== null ? this.#policy.sip(session, sip) : stage === 'turn' && turn !== null ? this.#policy.turn(session, turn) : null;
    if (verdict === null) return skipped(stage, `no request is described (ask with ${stage === 'http' ? 'method, host, path' : stage === 'sip' ? 'method, from, to' : 'message, peer'})`);
    return this.#judged(stage, verdict.action, verdict.rule, verdict.status === null ? {} : { status: String(verdict.status) });
  }

  /** What detection would call the flow: what was asked for where it is looked for. */
  #protocolSeen(): { protocol: ProtocolName; note: string | null } {
    if (this.#tls === 'tunnelled') return { protocol: 'tls', note: null };
    if (this.#ssl?.handoff === false) return { protocol: 'undetected', note: `${this.#ssl.rule} hands nothing off` };
    if (this.#tls === 'none' && this.#asked.tls) return { protocol: this.#unseen(), note: 'tls is not looked for here' };
    const { protocol, note } = this.#protocolMeant();
    if (!this.#off.has(protocol)) return { protocol, note };
    return { protocol: this.#unseen(), note: `${protocol} is not looked for here (detectProtocol, or a rule's detect)` };
  }

  /** What a flow is called whose protocol is not looked for. */
  #unseen(): ProtocolName {
    return nothingLookedFor(this.#off, this.#tls === 'intercepted') ? 'undetected' : 'unknown';
  }

  #protocolMeant(): { protocol: ProtocolName; note: string | null } {
    const { protocol, http, sip, turn } = this.#asked;
    if (protocol !== null) return { protocol, note: null };
    const inside = this.#tls === 'intercepted';
    const row = http !== null ? 'http' : sip !== null ? 'sip' : turn !== null ? 'ms-turn' : null;
    if (row === null) return { protocol: 'unknown', note: 'the protocol was not said: unknown is assumed' };
    return { protocol: shownName(row, inside), note: `taken to be ${shownName(row, inside)} from the facts` };
  }

  #errorWords(stage: 'connection' | 'ssl', codes: ReadonlySet<string>): string {
    const { from } = this.#policy.errorSetting(this.#asked.session, stage);
    return `${codes.size === 0 ? 'none' : [...codes].join(' ')} (${from})`;
  }

  #judged(stage: PolicyStage, action: string, rule: string, settings: Readonly<Record<string, string>>): StageTrace {
    const rules = this.#policy.stages[stage];
    const matched = rules.findIndex((candidate) => candidate.name === rule);
    const passed = rules.slice(0, matched === -1 ? undefined : matched).map(({ name, conditions }): PassedRule => ({
      rule: name,
      failed: conditions.filter((condition) => !condition.test(this.#facts)).map(({ key, wanted, found }) => ({ key, wanted, found: found(this.#facts) })),
    }));
    return { stage, asked: true, action, rule, note: matched === -1 ? 'no rule matched' : null, settings, passed };
  }
}

const stageNames: { readonly [S in 'http' | 'sip' | 'turn']: readonly ProtocolName[] } = {
  http: ['http', 'https', 'h2'],
  sip: ['sip', 'sips'],
  turn: ['ms-turn', 'ssltcp', 'turn', 'turns'],
};

function skipped(stage: PolicyStage, note: string): StageTrace {
  return { stage, asked: false, action: null, rule: null, note, settings: {}, passed: [] };
}

function detectionWords({ detect }: ConnectionVerdict | SslVerdict): Record<string, string> {
  const names = [...new Set(detectedNames.flatMap((row) => [shownName(row, false), shownName(row, true)]))].filter((name) => !Object.hasOwn(protocolStates, name));
  const off = names.filter((name) => detect.off.has(name));
  const words = off.length === 0 ? 'all' : off.length === names.length ? 'nothing' : `all but ${off.join(' ')}`;
  return { detects: words };
}

/** The trace as text for people, one stage a paragraph. */
export function traceText(trace: PolicyTrace): string {
  return trace.stages.map(stageText).join('');
}

function stageText({ stage, asked, action, rule, note, settings, passed }: StageTrace): string {
  const label = stage.padEnd(labelWidth);
  const indent = ' '.repeat(labelWidth);
  if (!asked) return `${label}-  ${note ?? ''}\n`;
  const lines = [`${label}${action ?? ''}  by ${rule ?? ''}${note === null ? '' : `  (${note})`}`];
  for (const [key, value] of Object.entries(settings)) lines.push(`${indent}${key}: ${value}`);
  for (const { rule: other, failed } of passed) {
    const [first] = failed;
    if (first === undefined) continue;
    lines.push(`${indent}not ${other}: ${failed.map(failedText).join('; ')}`);
  }
  return `${lines.join('\n')}\n`;
}

const labelWidth = 13;

function failedText({ key, wanted, found }: FailedCondition): string {
  if (key === 'not') return `its \`not\` holds (${wanted})`;
  return found === null ? `${key} is not known, wanted ${wanted}` : `${key} ${found} is not ${wanted}`;
}
