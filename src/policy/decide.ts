// Compiles rules into decisions: for every stage the first rule that matches, or the stage's default. A decision reads the
// session and nothing else: no clock, no waiting, no exception.

import type { CertificateProblem } from '../core/certificates.ts';
import type { Session } from '../core/session.ts';
import type { CertificateVerdict, ConnectionVerdict, HttpFacts, Policy, PolicyStage, ProtocolVerdict, RequestVerdict, SipFacts, SslVerdict, TurnFacts } from '../core/verdicts.ts';
import { policyStages } from '../core/verdicts.ts';
import { protocolStates } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { compileWhen, testsOf } from './conditions.ts';
import type { Condition } from './conditions.ts';
import { Facts } from './facts.ts';
import { RuleIndex } from './rule-index.ts';
import { clientMinVersionDefault, ruleName } from './rules.ts';
import type { ConnectionRule, PolicyOptions, PolicyRules, RequestRule, Rule, ServiceSettings, SslRule, TlsState } from './rules.ts';
import { firstSetting, serviceSwitches, withClientCert, withWords } from './settings.ts';
import type { ErrorSetting } from './settings.ts';

/** One rule, ready to be judged. */
export interface CompiledRule<R extends Rule = Rule> {
  readonly name: string;
  readonly rule: R;
  /** In the order written. */
  readonly conditions: readonly Condition[];
  /** The same, cheapest first. */
  readonly tests: readonly ((facts: Facts) => boolean)[];
}

type Stages = { readonly [S in PolicyStage]: readonly CompiledRule<PolicyRules[S][number]>[] };

/** A policy in force. Beside the decisions it shows its rules, so that `explain` judges by the very same tests. */
export interface CompiledPolicy extends Policy {
  readonly stages: Stages;
  readonly options: PolicyOptions;
  /** Whose tunnelOnError holds for a session at the connection or ssl stage. */
  errorSetting(session: Session, stage: 'connection' | 'ssl'): ErrorSetting;
}

/**
 * Compiles rules. Texts must have passed the config's schema and `options.lists` must hold every file named (see
 * loadHostLists); a missing list is our own mistake and throws.
 */
export function compilePolicy(rules: PolicyRules, options: PolicyOptions): CompiledPolicy {
  return new RuleBook(rules, options);
}

function compileStage<R extends Rule>(stage: PolicyStage, rules: readonly R[], options: PolicyOptions): CompiledRule<R>[] {
  return rules.map((rule, index) => {
    const written = compileWhen(rule.when, { lists: options.lists, everyProblem: rule.then === 'accept' });
    const conditions = stage === 'certificate' && (rule.then === 'accept' || rule.then === 'mirror-untrusted') ? [...written, notInvalid] : written;
    return { name: ruleName(stage, rule, index), rule, conditions, tests: testsOf(conditions) };
  });
}

/** Broken chains and constraints (problem `invalid`) may be neither accepted nor mirrored, whatever a rule says. */
const notInvalid: Condition = {
  key: 'problem',
  wanted: 'anything but invalid, which allows only deny or tunnel',
  test: (facts) => !facts.problems.includes('invalid'),
  found: (facts) => facts.problems.join(', '),
};

/** A stage's rules and the index that finds those worth testing. */
interface Book {
  readonly rules: readonly CompiledRule[];
  readonly index: RuleIndex;
}

/** The number of the first rule that matches, -1 when none does. */
function firstMatch({ rules, index }: Book, facts: Facts): number {
  if (rules.length === 0) return -1;
  const bits = index.candidates(facts);
  for (let word = 0; word < bits.length; word += 1) {
    for (let left = bits[word] ?? 0; left !== 0; left &= left - 1) {
      const number = word * 32 + 31 - Math.clz32(left & -left);
      if (holds(rules[number]?.tests ?? [], facts)) return number;
    }
  }
  return -1;
}

function holds(tests: readonly ((facts: Facts) => boolean)[], facts: Facts): boolean {
  for (let at = 0; at < tests.length; at += 1) if (tests[at]?.(facts) !== true) return false;
  return true;
}

/** Settings of sessions whose service is unknown (tools, tests): nothing of its own. */
const plainService: ServiceSettings = { type: 'tcp-tunnel', detectProtocol: true };

class RuleBook implements CompiledPolicy {
  readonly stages: Stages;
  readonly options: PolicyOptions;
  readonly asksForClaim: boolean;
  readonly #facts = new Facts();
  readonly #books: { readonly [S in PolicyStage]: Book };
  readonly #serviceIndex: ReadonlyMap<string, number>;
  /** Verdicts by service, connection rule and ssl rule; each is made once and shared. */
  readonly #connectionVerdicts = new Map<number, ConnectionVerdict>();
  readonly #sslVerdicts = new Map<number, SslVerdict>();
  /** Whether the ssl stage needs to know which connection rule matched, and the other way round. */
  readonly #connectionReaches: boolean;
  readonly #sslReaches: boolean;
  readonly #certificateVerdicts: readonly CertificateVerdict[];
  readonly #protocolVerdicts: readonly { readonly known: ProtocolVerdict; readonly other: ProtocolVerdict }[];
  readonly #requestVerdicts: { readonly [S in 'http' | 'sip' | 'turn']: readonly RequestVerdict[] };

  constructor(rules: PolicyRules, options: PolicyOptions) {
    this.options = options;
    this.stages = {
      connection: compileStage('connection', rules.connection, options),
      ssl: compileStage('ssl', rules.ssl, options),
      certificate: compileStage('certificate', rules.certificate, options),
      protocol: compileStage('protocol', rules.protocol, options),
      http: compileStage('http', rules.http, options),
      sip: compileStage('sip', rules.sip, options),
      turn: compileStage('turn', rules.turn, options),
    };
    const book = (stage: PolicyStage): Book => ({ rules: this.stages[stage], index: new RuleIndex(rules[stage].map((rule) => rule.when)) });
    this.#books = {
      connection: book('connection'), ssl: book('ssl'), certificate: book('certificate'), protocol: book('protocol'), http: book('http'), sip: book('sip'), turn: book('turn'),
    };
    this.#serviceIndex = new Map([...options.services.keys()].map((name, index) => [name, index + 1]));
    this.asksForClaim = policyStages.some((stage) => rules[stage].some(({ when }) => when?.address !== undefined || when?.not?.address !== undefined));
    this.#connectionReaches = rules.connection.some((rule) => rule.detect !== undefined || rule.tunnelOnError !== undefined);
    this.#sslReaches = rules.ssl.some((rule) => rule.tunnelOnError !== undefined);
    this.#certificateVerdicts = this.stages.certificate.map(({ name, rule }) => ({ action: rule.then, rule: name }));
    this.#protocolVerdicts = this.stages.protocol.map(({ name, rule }) => {
      const other = { action: rule.then === 'handoff' ? ('relay' as const) : rule.then, rule: name };
      return { known: { action: rule.then, rule: name }, other };
    });
    this.#requestVerdicts = { http: requestVerdicts(this.stages.http), sip: requestVerdicts(this.stages.sip), turn: requestVerdicts(this.stages.turn) };
  }

  has(stage: PolicyStage): boolean {
    return this.stages[stage].some(({ rule }) => rule.then === 'deny');
  }

  connection(session: Session): ConnectionVerdict {
    const matched = firstMatch(this.#books.connection, this.#facts.begin(session));
    const ssl = this.#sslReaches ? firstMatch(this.#books.ssl, this.#facts) : -1;
    const key = this.#key(session, matched, ssl);
    return this.#connectionVerdicts.get(key) ?? remember(this.#connectionVerdicts, key, this.#connectionVerdict(session.service, matched, ssl), this.options.verdictsMax);
  }

  ssl(session: Session): SslVerdict {
    this.#facts.begin(session);
    const connection = this.#connectionReaches ? firstMatch(this.#books.connection, this.#facts) : -1;
    const matched = firstMatch(this.#books.ssl, this.#facts);
    const key = this.#key(session, connection, matched);
    return this.#sslVerdicts.get(key) ?? remember(this.#sslVerdicts, key, this.#sslVerdict(session.service, connection, matched), this.options.verdictsMax);
  }

  certificate(session: Session, problems: readonly CertificateProblem[]): CertificateVerdict {
    const facts = this.#facts.begin(session);
    facts.problems = problems;
    return this.#certificateVerdicts[firstMatch(this.#books.certificate, facts)] ?? certificateDefault;
  }

  protocol(session: Session, protocol: ProtocolName, tls: TlsState): ProtocolVerdict {
    const facts = this.#facts.begin(session);
    facts.protocol = protocol;
    facts.tls = tls;
    const verdicts = this.#protocolVerdicts[firstMatch(this.#books.protocol, facts)] ?? protocolDefaults;
    return isHandled(protocol, tls) ? verdicts.known : verdicts.other;
  }

  http(session: Session, request: HttpFacts): RequestVerdict {
    const facts = this.#facts.begin(session);
    facts.http = request;
    return this.#requestVerdicts.http[firstMatch(this.#books.http, facts)] ?? requestDefaults.http;
  }

  sip(session: Session, request: SipFacts): RequestVerdict {
    const facts = this.#facts.begin(session);
    facts.sip = request;
    return this.#requestVerdicts.sip[firstMatch(this.#books.sip, facts)] ?? requestDefaults.sip;
  }

  turn(session: Session, message: TurnFacts): RequestVerdict {
    const facts = this.#facts.begin(session);
    facts.turn = message;
    return this.#requestVerdicts.turn[firstMatch(this.#books.turn, facts)] ?? requestDefaults.turn;
  }

  errorSetting(session: Session, stage: 'connection' | 'ssl'): ErrorSetting {
    this.#facts.begin(session);
    return this.#errorSetting(session.service, firstMatch(this.#books.connection, this.#facts), firstMatch(this.#books.ssl, this.#facts), stage);
  }

  #key(session: Session, connection: number, ssl: number): number {
    const service = this.#serviceIndex.get(session.service) ?? 0;
    return (service * (this.stages.connection.length + 1) + connection + 1) * (this.stages.ssl.length + 1) + ssl + 1;
  }

  #connectionVerdict(service: string, index: number, ssl: number): ConnectionVerdict {
    const matched: CompiledRule<ConnectionRule> | undefined = this.stages.connection[index];
    const settings = this.options.services.get(service) ?? plainService;
    return {
      action: matched?.rule.then ?? 'allow',
      rule: matched?.name ?? 'connection/default',
      detect: withWords(serviceSwitches(settings), matched?.rule.detect),
      tunnelOnError: this.#errorSetting(service, index, ssl, 'connection').codes,
      serverFirst: matched?.rule.serverFirst ?? false,
    };
  }

  #sslVerdict(service: string, connection: number, index: number): SslVerdict {
    const matched: CompiledRule<SslRule> | undefined = this.stages.ssl[index];
    const settings = this.options.services.get(service) ?? plainService;
    const switches = withWords(serviceSwitches(settings, true), this.stages.connection[connection]?.rule.detect);
    const { clientCert, codes } = withClientCert(this.#errorSetting(service, connection, index, 'ssl').codes, matched?.rule.clientCert);
    return {
      action: matched?.rule.then ?? 'tunnel',
      rule: matched?.name ?? 'ssl/default',
      handoff: matched?.rule.handoff ?? true,
      tunnelOnError: codes,
      clientCert,
      detect: withWords(switches, matched?.rule.detect),
      clientMinVersion: matched?.rule.clientTls?.minVersion ?? settings.clientTls?.minVersion ?? clientMinVersionDefault,
      issuer: matched?.rule.issuer ?? null,
      ...(matched?.rule.learned === false ? { learned: false } : {}),
      ...(matched?.rule.revocation === undefined ? {} : { revocation: matched.rule.revocation }),
    };
  }

  /** Rule over service over default; of two rules the one of the stage at which the error arises goes first. */
  #errorSetting(service: string, connection: number, ssl: number, stage: 'connection' | 'ssl'): ErrorSetting {
    const rules = [this.stages.connection[connection], this.stages.ssl[ssl]].map((matched) => ({ setting: matched?.rule.tunnelOnError, from: `rule ${matched?.name ?? ''}` }));
    return firstSetting([
      ...(stage === 'connection' ? rules : rules.reverse()),
      { setting: this.options.services.get(service)?.tunnelOnError, from: `service ${service}` },
      { setting: this.options.tunnelOnError, from: 'default' },
    ]);
  }
}

/** Whether a protocol has a handler: states have none, and closed TLS has nothing to hand on. */
function isHandled(protocol: ProtocolName, tls: TlsState): boolean {
  return !Object.hasOwn(protocolStates, protocol) && !(protocol === 'tls' && tls === 'tunnelled');
}

function requestVerdicts(rules: readonly CompiledRule<RequestRule>[]): RequestVerdict[] {
  return rules.map(({ name, rule }) => ({ action: rule.then, rule: name, status: rule.status ?? null }));
}

function remember<T>(map: Map<number, T>, key: number, verdict: T, verdictsMax: number): T {
  if (map.size >= verdictsMax) map.clear();
  map.set(key, verdict);
  return verdict;
}

const certificateDefault: CertificateVerdict = { action: 'deny', rule: 'certificate/default' };
const protocolDefaults = { known: { action: 'handoff', rule: 'protocol/default' }, other: { action: 'relay', rule: 'protocol/default' } } as const;
const requestDefaults = {
  http: { action: 'allow', rule: 'http/default', status: null },
  sip: { action: 'allow', rule: 'sip/default', status: null },
  turn: { action: 'allow', rule: 'turn/default', status: null },
} as const satisfies Record<string, RequestVerdict>;
