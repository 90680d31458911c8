// What policy is asked and what it answers, stage by stage. No behaviour lives here: rules and conditions are in policy/.

import type { CertificateProblem, RevocationMode, TlsVersion } from './certificates.ts';
import type { ErrorCode } from './errors.ts';
import type { ProtocolName } from './protocols.ts';
import type { Session } from './session.ts';

export const policyStages = ['connection', 'ssl', 'certificate', 'protocol', 'http', 'sip', 'turn'] as const;
export type PolicyStage = (typeof policyStages)[number];

/** Detection switches: names that are off, and names that a rule switched on over the service's setting. */
export interface DetectSwitches {
  readonly off: ReadonlySet<ProtocolName>;
  readonly on: ReadonlySet<ProtocolName>;
}

export interface ConnectionVerdict {
  readonly action: 'allow' | 'deny' | 'tunnel';
  readonly rule: string;
  readonly detect: DetectSwitches;
  readonly tunnelOnError: ReadonlySet<ErrorCode>;
  /** The rule says that servers on this port speak first: dial at once and wait for no detection timer. */
  readonly serverFirst: boolean;
}

export interface SslVerdict {
  readonly action: 'intercept' | 'tunnel' | 'deny' | 'intercept-on-exception';
  readonly rule: string;
  /** False: relay what is decrypted without looking (the reference's STunnel interception). */
  readonly handoff: boolean;
  readonly tunnelOnError: ReadonlySet<ErrorCode>;
  readonly clientCert: 'tunnel' | 'continue' | 'deny';
  /** Detection inside TLS. */
  readonly detect: DetectSwitches;
  readonly clientMinVersion: TlsVersion;
  /** Name of the issuer (keyring) that signs, null for the default. */
  readonly issuer: string | null;
  /** False: learned bypasses do not count here. */
  readonly learned?: false;
  /** Over upstream.revocation; absent: that one holds. */
  readonly revocation?: RevocationMode;
}

export interface CertificateVerdict {
  readonly action: 'deny' | 'mirror-untrusted' | 'accept' | 'tunnel';
  readonly rule: string;
}

export interface ProtocolVerdict {
  readonly action: 'handoff' | 'relay' | 'deny';
  readonly rule: string;
}

export interface RequestVerdict {
  readonly action: 'allow' | 'deny';
  readonly rule: string;
  /** Status of the refusal, null for the protocol's usual one. */
  readonly status: number | null;
}

export interface HttpFacts {
  readonly method: string;
  readonly host: string | null;
  readonly path: string;
  readonly headers: ReadonlySet<string>;
  readonly upgrade: string | null;
}

export interface SipFacts {
  readonly method: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly agent: string | null;
}

export interface TurnFacts {
  readonly message: string;
  readonly peer: string | null;
}

/** Shown as the rule of a flow that asked for revocation data where policy would have denied, tunnelled or relayed it. */
export const revocationRule = 'revocation/any-client';

/** One answer per stage; pure, never awaits, never throws. The session carries client, destination, service, user and TLS facts. */
export interface Policy {
  connection(session: Session): ConnectionVerdict;
  ssl(session: Session): SslVerdict;
  certificate(session: Session, problems: readonly CertificateProblem[]): CertificateVerdict;
  protocol(session: Session, protocol: ProtocolName, tls: 'intercepted' | 'tunnelled' | 'none'): ProtocolVerdict;
  http(session: Session, facts: HttpFacts): RequestVerdict;
  sip(session: Session, facts: SipFacts): RequestVerdict;
  turn(session: Session, facts: TurnFacts): RequestVerdict;
  /** Some rule asks how the client's name and address go together: `session.claim` must be there from the ssl stage on. Absent: none does. */
  readonly asksForClaim?: boolean;
  /** Whether a stage's rules could deny anything, so that handlers neither hold nor look for what passes anyway. */
  has(stage: PolicyStage): boolean;
}
