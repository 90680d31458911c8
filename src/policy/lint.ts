// Looks rules and services over when a config is loaded and says what will surprise: rules that can never match, services that
// intercept but cannot detect, defaults relied on, and what a deny rule does where detection is off. It changes nothing.

import { policyStages } from '../core/verdicts.ts';
import type { PolicyStage } from '../core/verdicts.ts';
import { protocolRows, protocolStates } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { conditionsCover, isUnconditional, mayMatch, ruleCovers } from './coverage.ts';
import { ruleName } from './rules.ts';
import type { PolicyOptions, PolicyRules, Rule, ServiceSettings, ServiceType, SslRule, TlsState } from './rules.ts';
import { namesOf, serviceSwitches } from './settings.ts';

/** Something a config's writer should know; `path` such as `policy.ssl[0].when`. */
export interface LintWarning {
  readonly path: string;
  readonly problem: string;
}

/** All warnings about rules, in the order of stages, and about services under them. */
export function lint(rules: PolicyRules, options: PolicyOptions): LintWarning[] {
  const services = [...options.services].map(([name, settings], index): PlacedService => ({ name, settings, path: `services[${index}]`, looked: lookedFor(name, settings, rules) }));
  return [
    ...policyStages.flatMap((stage) => shadowedRules(stage, rules[stage])),
    ...rules.protocol.flatMap((rule, index) => impossibleProtocols(rule, index)),
    ...undetectedRules(rules, services),
    ...uselessKeys(rules),
    ...services.flatMap((service) => blindService(service, rules)),
    ...services.flatMap((service) => deniedUndetected(service, rules)),
    ...policyStages.flatMap((stage) => reliedOnDefault(stage, rules[stage])),
  ];
}

interface PlacedService {
  readonly name: string;
  readonly settings: ServiceSettings;
  readonly path: string;
  /** Names that detection may look for: by the service's setting, or where a connection rule switches them on. */
  readonly looked: ReadonlySet<ProtocolName>;
}

const detectable = [...new Set(Object.values(protocolRows).flatMap((row): ProtocolName[] => [row.plain, row.overTls]))];

function lookedFor(name: string, settings: ServiceSettings, rules: PolicyRules): Set<ProtocolName> {
  const { off } = serviceSwitches(settings);
  const looked = new Set(detectable.filter((protocol) => !off.has(protocol)));
  for (const rule of [...rules.connection, ...rules.ssl]) {
    if (mayMatch(rule.when, { service: name }) !== 'no') for (const protocol of namesOf(rule.detect?.on ?? [])) looked.add(protocol);
  }
  return looked;
}

function rulePath(stage: PolicyStage, index: number): string {
  return `policy.${stage}[${index}]`;
}

function shadowedRules(stage: PolicyStage, rules: readonly Rule[]): LintWarning[] {
  return rules.flatMap((rule, index): LintWarning[] => {
    const { not, ...plain } = rule.when ?? {};
    if (not !== undefined && conditionsCover(not, plain)) return [{ path: `${rulePath(stage, index)}.when.not`, problem: `${ruleName(stage, rule, index)} can never match: its \`not\` excludes all that it asks for` }];
    const earlier = rules.slice(0, index).findIndex((candidate) => ruleCovers(candidate, rule));
    const first = rules[earlier];
    if (first === undefined) return [];
    return [{ path: rulePath(stage, index), problem: `${ruleName(stage, rule, index)} can never match: ${ruleName(stage, first, earlier)} comes first and matches all that it would` }];
  });
}

/** With what `tls` a protocol name can be judged. */
function tlsStatesOf(name: ProtocolName): readonly TlsState[] {
  if (name === 'tls') return ['intercepted', 'tunnelled', 'none'];
  const rows = Object.values(protocolRows).filter((row) => row.plain === name || row.overTls === name);
  const [row] = rows;
  if (row === undefined || row.plain === row.overTls) return ['intercepted', 'none'];
  return row.overTls === name ? ['intercepted'] : ['none'];
}

function impossibleProtocols(rule: Rule, index: number): LintWarning[] {
  const { protocol, tls } = rule.when ?? {};
  if (protocol === undefined || tls === undefined) return [];
  const possible = [...namesOf(protocol)].some((name) => tlsStatesOf(name).some((state) => tls.includes(state)));
  if (possible) return [];
  return [{ path: `${rulePath('protocol', index)}.when`, problem: `${ruleName('protocol', rule, index)} can never match: ${protocol.join(', ')} never comes with tls ${tls.join(', ')}` }];
}

const stageWord = { http: 'http-any', sip: 'sip-any', turn: 'turn-any' } as const;
/** Services that speak a protocol whatever detection says. */
const spokenByType: { readonly [S in keyof typeof stageWord]: readonly ServiceType[] } = { http: ['http', 'http-explicit'], sip: [], turn: [] };

/** Rules about protocols that no service they apply to looks for. */
function undetectedRules(rules: PolicyRules, services: readonly PlacedService[]): LintWarning[] {
  const blind = (rule: Rule, names: Iterable<ProtocolName>, spoken: readonly ServiceType[]): boolean =>
    services.every((service) => mayMatch(rule.when, { service: service.name }) === 'no' || (!spoken.includes(service.settings.type) && ![...names].some((name) => service.looked.has(name))));
  const warning = (stage: PolicyStage, rule: Rule, index: number, what: string): LintWarning => ({
    path: rulePath(stage, index),
    problem: `${ruleName(stage, rule, index)} can never match: no service it applies to looks for ${what} (detectProtocol)`,
  });
  const requests = (['http', 'sip', 'turn'] as const).flatMap((stage) =>
    rules[stage].flatMap((rule, index) => (!isUnconditional(rule) && blind(rule, namesOf([stageWord[stage]]), spokenByType[stage]) ? [warning(stage, rule, index, stage)] : [])),
  );
  const protocols = rules.protocol.flatMap((rule, index) => {
    const names = rule.when?.protocol === undefined ? new Set<ProtocolName>(['pending']) : namesOf(rule.when.protocol);
    const free = [...names].some((name) => Object.hasOwn(protocolStates, name));
    const spoken = names.has('http') ? spokenByType.http : [];
    return !free && blind(rule, names, spoken) ? [warning('protocol', rule, index, rule.when?.protocol?.join(', ') ?? '')] : [];
  });
  return [...protocols, ...requests];
}

/** Keys that do nothing beside their rule's `then`. */
function uselessKeys(rules: PolicyRules): LintWarning[] {
  const warning = (stage: PolicyStage, rule: Rule, index: number, key: string): LintWarning => ({ path: `${rulePath(stage, index)}.${key}`, problem: `${key} does nothing in ${ruleName(stage, rule, index)}: its \`then\` is ${rule.then}` });
  const opened = (rule: SslRule): readonly (string | false)[] => [
    rule.handoff === false && 'handoff', rule.clientCert !== undefined && 'clientCert', rule.detect !== undefined && 'detect',
    rule.clientTls !== undefined && 'clientTls', rule.issuer !== undefined && 'issuer', rule.then === 'deny' && rule.tunnelOnError !== undefined && 'tunnelOnError',
  ];
  return [
    ...rules.connection.flatMap((rule, index) => (rule.then !== 'allow' && rule.detect !== undefined ? [warning('connection', rule, index, 'detect')] : [])),
    ...rules.ssl.flatMap((rule, index) => (intercepts(rule) ? [] : opened(rule).flatMap((key) => (key === false ? [] : [warning('ssl', rule, index, key)])))),
    ...(['http', 'sip'] as const).flatMap((stage) => rules[stage].flatMap((rule, index) => (rule.then === 'allow' && rule.status !== undefined ? [warning(stage, rule, index, 'status')] : []))),
  ];
}

function intercepts(rule: SslRule): boolean {
  return rule.then === 'intercept' || rule.then === 'intercept-on-exception';
}

/** A service that is to intercept but does not look for TLS, or for anything inside it. */
function blindService({ name, path, looked }: PlacedService, rules: PolicyRules): LintWarning[] {
  const used = rules.ssl.map((rule, index) => ({ rule, shown: ruleName('ssl', rule, index) })).filter(({ rule }) => intercepts(rule) && mayMatch(rule.when, { service: name }) !== 'no');
  const [first] = used;
  if (first === undefined) return [];
  if (!looked.has('tls')) return [{ path: `${path}.detectProtocol`, problem: `service ${name} intercepts nothing: it does not look for tls, so ${first.shown} never matches on it` }];
  const inside = detectable.some((protocol) => protocol !== 'tls' && tlsStatesOf(protocol).includes('intercepted') && looked.has(protocol));
  const handed = used.find(({ rule }) => rule.handoff !== false);
  if (inside || handed === undefined) return [];
  return [{ path: `${path}.detectProtocol`, problem: `service ${name} intercepts but cannot detect: ${handed.shown} hands nothing off, what is inside TLS is relayed decrypted (as STunnel interception), and http, sip and turn rules never match on it` }];
}

const deniedWords: { readonly [T in ServiceType]: string } = {
  'http-explicit': 'every CONNECT request', socks: 'every SOCKS request', 'tcp-tunnel': 'all its traffic', ssl: 'everything inside the TLS it intercepts', http: 'all its traffic',
};

/** A deny rule of the protocol stage that takes what a service with detection off carries. */
function deniedUndetected({ name, settings, path, looked }: PlacedService, rules: PolicyRules): LintWarning[] {
  const typed = settings.type === 'ssl' ? 'tls' : settings.type === 'http' ? 'http' : null;
  if ([...looked].some((protocol) => protocol !== typed) || typed === 'http') return [];
  const tls: TlsState = settings.type === 'ssl' ? 'intercepted' : 'none';
  if (tls === 'intercepted' && !rules.ssl.some((rule) => intercepts(rule) && mayMatch(rule.when, { service: name }) !== 'no')) return [];
  let certain = true;
  for (const [index, rule] of rules.protocol.entries()) {
    const matches = mayMatch(rule.when, { service: name, protocol: 'undetected', tls });
    if (matches === 'no') continue;
    if (rule.then === 'deny') {
      const verb = certain && matches === 'yes' ? 'denies' : 'may deny';
      return [{ path: `${path}.detectProtocol`, problem: `detection is off on service ${name}: ${ruleName('protocol', rule, index)} ${verb} ${deniedWords[settings.type]}; switch detection on, or let the service pass in a rule before it` }];
    }
    if (matches === 'yes') return [];
    certain = false;
  }
  return [];
}

const defaults: { readonly [S in PolicyStage]: string } = {
  connection: 'a connection that no rule matches is allowed',
  ssl: 'TLS that no rule matches is tunnelled, not opened',
  certificate: 'a bad server certificate that no rule matches is denied',
  protocol: 'what no rule matches is handed off if known, else relayed',
  http: 'a request that no rule matches is allowed',
  sip: 'a request that no rule matches is allowed',
  turn: 'a message that no rule matches is allowed',
};

function reliedOnDefault(stage: PolicyStage, rules: readonly Rule[]): LintWarning[] {
  if (rules.some(isUnconditional)) return [];
  return [{ path: `policy.${stage}`, problem: `the default is relied on: ${defaults[stage]}; a last rule without \`when\` says it openly` }];
}
