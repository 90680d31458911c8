// What a rule leaves open is settled by its service, then by the default: detection switches and tunnel on error. Pure data work,
// done once for each combination that occurs.

import { tunnelOnErrorDefault } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { DetectSwitches } from '../core/verdicts.ts';
import { protocolNames, protocolStates, protocolWords } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import type { DetectWords, ServiceSettings, SslRule, TunnelOnError } from './rules.ts';

const detectable: readonly ProtocolName[] = protocolNames.filter((name) => !Object.hasOwn(protocolStates, name));

/** The names that words stand for. */
export function namesOf(words: readonly string[]): Set<ProtocolName> {
  return new Set(words.flatMap((word) => protocolWords.get(word) ?? []));
}

/**
 * Detection as a service has it: names its detectProtocol leaves out are off. On an ssl service the outermost TLS, on an http
 * service the outermost HTTP, is known by type: the setting cannot switch it off, only rules can. `inside`: for the layers
 * inside TLS, where nothing is known by type.
 */
export function serviceSwitches(service: ServiceSettings, inside = false): DetectSwitches {
  const { detectProtocol, type } = service;
  if (detectProtocol === true) return { off: new Set(), on: new Set() };
  const looked = detectProtocol === false ? new Set<ProtocolName>() : namesOf(detectProtocol);
  if (!inside && type === 'ssl') looked.add('tls');
  if (!inside && type === 'http') looked.add('http');
  return { off: new Set(detectable.filter((name) => !looked.has(name))), on: new Set() };
}

/** Switches with a rule's words applied: on takes away from what is off, off adds to it, and off wins. */
export function withWords(base: DetectSwitches, words: DetectWords | undefined): DetectSwitches {
  if (words === undefined) return base;
  const off = namesOf(words.off ?? []);
  const on = new Set([...base.on, ...namesOf(words.on ?? [])].filter((name) => !off.has(name)));
  return { off: new Set([...[...base.off].filter((name) => !on.has(name)), ...off]), on };
}

const none: ReadonlySet<ErrorCode> = new Set();
const all: ReadonlySet<ErrorCode> = new Set(tunnelOnErrorDefault);

/** The codes that a setting lists. */
export function codesOf(setting: TunnelOnError): ReadonlySet<ErrorCode> {
  if (setting === true) return all;
  return setting === false ? none : new Set(setting);
}

/** Whose tunnelOnError holds. */
export interface ErrorSetting {
  readonly codes: ReadonlySet<ErrorCode>;
  /** `rule stage/name`, `service name` or `default`. */
  readonly from: string;
}

/** The first setting that says anything. */
export function firstSetting(candidates: readonly { readonly setting: TunnelOnError | undefined; readonly from: string }[]): ErrorSetting {
  for (const { setting, from } of candidates) if (setting !== undefined) return { codes: codesOf(setting), from };
  return { codes: none, from: 'default' };
}

const clientCertCodes: readonly ErrorCode[] = ['UPSTREAM_WANTS_CLIENT_CERT', 'UPSTREAM_OFFERS_CLIENT_CERT'];

/**
 * What a rule does about client certificates, and the codes with it worked in: `tunnel` adds UPSTREAM_WANTS_CLIENT_CERT
 * (offered ones must be listed), the others take both codes out. Unsaid: tunnel when one of them is listed, else continue.
 */
export function withClientCert(codes: ReadonlySet<ErrorCode>, asked: SslRule['clientCert']): { clientCert: 'tunnel' | 'continue' | 'deny'; codes: ReadonlySet<ErrorCode> } {
  const clientCert = asked ?? (clientCertCodes.some((code) => codes.has(code)) ? 'tunnel' : 'continue');
  if (clientCert !== 'tunnel') return { clientCert, codes: new Set([...codes].filter((code) => !clientCertCodes.includes(code))) };
  return { clientCert, codes: codes.has('UPSTREAM_WANTS_CLIENT_CERT') ? codes : new Set([...codes, 'UPSTREAM_WANTS_CLIENT_CERT']) };
}
