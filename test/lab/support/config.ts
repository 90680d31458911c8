// The config that lab gateways run with: transparent services for the lab's ports, an intercept-all policy, and what a test changes.

import type { ConfigInput } from '../../../src/config/schema.ts';
import type { LabCertificates } from './certificates.ts';
import { network } from './names.ts';

export const modes = ['redirect', 'tproxy'] as const;
export type Mode = (typeof modes)[number];

type Policy = NonNullable<ConfigInput['policy']>;

export interface ConfigChanges {
  readonly mode: Mode;
  /** Whose address servers see; default the gateway's. */
  readonly source?: 'client';
  /** Default 0: everything in one process. */
  readonly workers?: number;
  /** Stages given here replace the lab's. */
  readonly policy?: Policy;
  readonly limits?: ConfigInput['limits'];
  readonly capture?: ConfigInput['capture'];
  readonly crl?: NonNullable<ConfigInput['issuer']>['crl'];
  /** Of the issuer section, besides `crl`. */
  readonly issuer?: Omit<NonNullable<ConfigInput['issuer']>, 'crl'>;
  /** Puts files into the state folder before the gateway starts, such as an issuer of one's own. */
  readonly prepare?: (stateFolder: string) => void;
  readonly tunnelOnError?: ConfigInput['tunnelOnError'];
  /** Services besides the transparent ones. */
  readonly services?: ConfigInput['services'];
  /** A config of its own in place of the lab's; nothing else here counts then. */
  readonly whole?: (certificates: LabCertificates, stateFolder: string) => ConfigInput;
}

/** Names of the lab's services, and the ports whose connections come to them. */
export const servicePorts = { https: [443, 4443], http: [80], sip: [5061], turn: [3478] } as const;

/** The rule names that sessions show when nothing else was decided. */
export const labRules = { ssl: 'ssl/all', protocol: 'protocol/known', relay: 'protocol/unknown' } as const;

/** Intercepts everything, relays what it does not know, tunnels on every error that may. */
export const labPolicy = {
  ssl: [{ name: 'all', then: 'intercept', handoff: true, tunnelOnError: true, clientCert: 'tunnel' }],
  protocol: [{ name: 'unknown', when: { protocol: ['unknown', 'undetected'] }, then: 'relay' }, { name: 'known', then: 'handoff' }],
} as const satisfies Policy;

/** The whole config; the gateway trusts the lab's root besides the system's. */
export function labConfig(certificates: LabCertificates, stateFolder: string, changes: ConfigChanges): ConfigInput {
  if (changes.whole !== undefined) return changes.whole(certificates, stateFolder);
  const acquire = changes.mode;
  const source = changes.source ?? 'gateway';
  const intercept = (service: keyof typeof servicePorts): { ports: number[]; interfaces: string } => ({ ports: [...servicePorts[service]], interfaces: 'lan' });
  return {
    state: stateFolder,
    workers: changes.workers ?? 0,
    tunnelOnError: changes.tunnelOnError ?? true,
    admin: { listen: '127.0.0.1:9090' },
    issuer: { ...changes.issuer, crl: changes.crl ?? { host: `${network.gatewayToClient.v4}:9080` } },
    services: [
      { name: 'https', type: 'ssl', listen: '[::]:8443', acquire, source, detectProtocol: true, intercept: intercept('https') },
      { name: 'http', type: 'http', listen: '[::]:8080', acquire, source, detectProtocol: true, intercept: intercept('http') },
      { name: 'sip', type: 'tcp-tunnel', listen: '[::]:8061', acquire, source, detectProtocol: true, intercept: intercept('sip') },
      { name: 'turn', type: 'tcp-tunnel', listen: '[::]:8478', acquire, source, detectProtocol: true, intercept: intercept('turn') },
      ...(changes.services ?? []),
    ],
    policy: { ...labPolicy, ...changes.policy },
    upstream: { extraCa: [certificates.rootFile] },
    logging: { level: 'debug', access: 'access.jsonl', requests: 'requests.jsonl' },
    ...(changes.capture === undefined ? {} : { capture: changes.capture }),
    ...(changes.limits === undefined ? {} : { limits: changes.limits }),
  };
}
