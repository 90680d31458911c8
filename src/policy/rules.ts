// The shape of policy rules and of what a policy must know of services, as plain data. The config's inferred type is assignable
// to these (a test holds both together); nothing here reads files or knows YAML.

import type { ErrorCode } from '../core/errors.ts';
import type { CertificateProblem, RevocationMode, TlsVersion } from '../core/certificates.ts';
import type { AddressMatch } from '../core/session.ts';
import type { PolicyStage } from '../core/verdicts.ts';
import type { HostList } from './host-list.ts';

/** What a rule asks for. Keys are joined by AND, the values of one key by OR; an absent fact matches no value. */
export interface Conditions {
  /** Client addresses and networks (CIDR). */
  readonly client?: readonly string[] | undefined;
  /** Destination addresses, networks (CIDR) and host patterns. */
  readonly destination?: readonly string[] | undefined;
  /** Destination ports and ranges `low-high`. */
  readonly port?: readonly (number | string)[] | undefined;
  readonly service?: readonly string[] | undefined;
  readonly user?: readonly string[] | undefined;
  /** Local time at the session's start: `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`. */
  readonly time?: readonly string[] | undefined;
  readonly sni?: readonly string[] | undefined;
  readonly alpn?: readonly string[] | undefined;
  readonly ja4?: readonly string[] | undefined;
  /** How the name claimed relates to the destination's address. */
  readonly address?: readonly AddressMatch[] | undefined;
  /** Files of names; each name stands for itself and everything below it. */
  readonly file?: readonly string[] | undefined;
  readonly problem?: readonly CertificateProblem[] | undefined;
  /** The name asked for (SNI, else destination host). */
  readonly name?: readonly string[] | undefined;
  /** Words of core/protocols.ts. */
  readonly protocol?: readonly string[] | undefined;
  readonly tls?: readonly TlsState[] | undefined;
  readonly method?: readonly string[] | undefined;
  readonly host?: readonly string[] | undefined;
  readonly path?: readonly string[] | undefined;
  /** Names of header fields that are present. */
  readonly header?: readonly string[] | undefined;
  readonly upgrade?: readonly string[] | undefined;
  readonly from?: readonly string[] | undefined;
  readonly to?: readonly string[] | undefined;
  readonly agent?: readonly string[] | undefined;
  readonly message?: readonly string[] | undefined;
  /** Peer addresses and networks (CIDR). */
  readonly peer?: readonly string[] | undefined;
}

export type ConditionKey = keyof Conditions;
export type TlsState = 'intercepted' | 'tunnelled' | 'none';

/** Conditions, and a conjunction that must not hold. */
export interface When extends Conditions {
  readonly not?: Conditions | undefined;
}

/** Words of core/protocols.ts that a rule switches on or off; off wins. */
export interface DetectWords {
  readonly on?: readonly string[] | undefined;
  readonly off?: readonly string[] | undefined;
}

/** true: the codes of core/errors.ts `tunnelOnErrorDefault`; a list: exactly these. */
export type TunnelOnError = boolean | readonly ErrorCode[];

export interface Rule {
  readonly name?: string | undefined;
  readonly when?: When | undefined;
  readonly then: string;
}

export interface ConnectionRule extends Rule {
  readonly then: 'allow' | 'deny' | 'tunnel';
  readonly detect?: DetectWords | undefined;
  readonly tunnelOnError?: TunnelOnError | undefined;
  readonly serverFirst?: boolean | undefined;
}

export interface SslRule extends Rule {
  readonly then: 'intercept' | 'tunnel' | 'deny' | 'intercept-on-exception';
  readonly handoff?: boolean | undefined;
  readonly tunnelOnError?: TunnelOnError | undefined;
  readonly clientCert?: 'tunnel' | 'continue' | 'deny' | undefined;
  readonly detect?: DetectWords | undefined;
  readonly clientTls?: { readonly minVersion?: TlsVersion | undefined } | undefined;
  readonly issuer?: string | undefined;
  readonly learned?: boolean | undefined;
  readonly revocation?: RevocationMode | undefined;
}

export interface CertificateRule extends Rule {
  readonly then: 'deny' | 'mirror-untrusted' | 'accept' | 'tunnel';
}

export interface ProtocolRule extends Rule {
  readonly then: 'handoff' | 'relay' | 'deny';
}

export interface RequestRule extends Rule {
  readonly then: 'allow' | 'deny';
  readonly status?: number | undefined;
}

/** Rules of every stage; in each the first that matches decides. */
export interface PolicyRules {
  readonly connection: readonly ConnectionRule[];
  readonly ssl: readonly SslRule[];
  readonly certificate: readonly CertificateRule[];
  readonly protocol: readonly ProtocolRule[];
  readonly http: readonly RequestRule[];
  readonly sip: readonly RequestRule[];
  readonly turn: readonly RequestRule[];
}

export type ServiceType = 'ssl' | 'http' | 'http-explicit' | 'socks' | 'tcp-tunnel';

/** What policy must know of a service. */
export interface ServiceSettings {
  readonly type: ServiceType;
  /** true: everything; false: nothing; a list: these words of core/protocols.ts. */
  readonly detectProtocol: boolean | readonly string[];
  /** Undefined: the policy's default. */
  readonly tunnelOnError?: TunnelOnError | undefined;
  readonly clientTls?: { readonly minVersion?: TlsVersion | undefined } | undefined;
}

export interface PolicyOptions {
  readonly services: ReadonlyMap<string, ServiceSettings>;
  /** What holds where neither rule nor service says anything. */
  readonly tunnelOnError: TunnelOnError;
  /** Lists named by `file` conditions, by the same text (see loadHostLists). */
  readonly lists: ReadonlyMap<string, HostList>;
  /** Bound of remembered verdict objects (limits.policyVerdictsMax). */
  readonly verdictsMax: number;
}

/** The lowest TLS version for clients where nothing says otherwise. */
export const clientMinVersionDefault: TlsVersion = 'TLSv1.2';

/** A rule's shown name: `stage/name`, or `stage/#index` for a rule without one. */
export function ruleName(stage: PolicyStage, rule: Rule, index: number): string {
  return `${stage}/${rule.name ?? `#${index}`}`;
}

const common = ['client', 'destination', 'port', 'service', 'user', 'time'] as const;
const hello = [...common, 'sni', 'alpn', 'ja4', 'file'] as const;

/** Which conditions each stage can judge: facts not known yet at a stage cannot be asked for there. */
export const stageConditions = {
  connection: common,
  ssl: [...hello, 'address'],
  certificate: [...hello, 'address', 'problem', 'name'],
  protocol: [...hello, 'address', 'protocol', 'tls'],
  http: [...hello, 'address', 'protocol', 'method', 'host', 'path', 'header', 'upgrade'],
  sip: [...hello, 'protocol', 'method', 'from', 'to', 'agent'],
  turn: [...hello, 'protocol', 'message', 'peer'],
} as const satisfies Record<PolicyStage, readonly ConditionKey[]>;
