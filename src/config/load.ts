// Reads a config's YAML text into the fully defaulted config, or into all its faults at once, each with its line. It resolves
// relative file names but opens no file.

import { dirname, isAbsolute, resolve } from 'node:path';
import { isMap, isPair, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, ParsedNode } from 'yaml';
import { pathText, schemaFaults, valueAt } from './faults.ts';
import type { Path, SchemaFault } from './faults.ts';
import { nameFaults } from './names.ts';
import { configSchema } from './schema.ts';
import type { Config } from './schema.ts';

/** Something wrong at a line of a file. */
export interface ConfigFault {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** Such as `services[0].type`. */
  readonly path: string;
  readonly problem: string;
}

/** What reading a config gives. `lineOf` answers the line of a path such as `policy.ssl[0].when`, or of its nearest parent. */
export type LoadedConfig =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly ConfigFault[]; lineOf(path: string): number }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** `FILE:LINE: path: problem`, as `check` prints it. */
export function faultText(fault: ConfigFault): string {
  return `${fault.file}:${fault.line}: ${fault.path}: ${fault.problem}`;
}

/**
 * Reads YAML text. `fileName` is named in faults, and its folder is where relative file names start (those of `state`'s
 * files start at `state`). Never throws on input.
 */
export function loadConfig(text: string, fileName: string): LoadedConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, logLevel: 'error' });
  const notice = (at: Path, line: number, problem: string): ConfigFault => ({ file: fileName, line, path: pathText(at), problem });
  if (document.errors.length > 0) {
    return { ok: false, faults: document.errors.map((error) => notice([], lines.linePos(error.pos[0]).line, `not YAML: ${error.message}`)) };
  }
  const raw = plainValue(document);
  if (raw instanceof Error) return { ok: false, faults: [notice([], 1, `not YAML: ${raw.message}`)] };
  const lineAt = (at: Path, onKey: boolean): number => lineOfPath(document, lines, at, onKey);
  const parsed = configSchema.safeParse(raw ?? {});
  const found: SchemaFault[] = [...(parsed.success ? [] : schemaFaults(parsed.error.issues, raw)), ...nameFaults(raw)];
  if (!parsed.success || found.length > 0) {
    const faults = found.map((fault) => notice(fault.at, lineAt(fault.at, fault.onKey), fault.problem));
    return { ok: false, faults: faults.sort((a, b) => a.line - b.line) };
  }
  const warnings = [
    ...document.warnings.map((warning) => notice([], lines.linePos(warning.pos[0]).line, warning.message)),
    ...configWarnings(parsed.data, raw).map(({ at, problem }) => notice(at, lineAt(at, false), problem)),
  ];
  return { ok: true, config: resolveFiles(parsed.data, fileName), warnings, lineOf: (path) => lineAt(pathParts(path), false) };
}

/** The document as plain data; the error where aliases are used to blow it up. */
function plainValue(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: aliasesMax });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** A config has no use for more aliases; far more are an attack on memory. */
const aliasesMax = 100;

function pathParts(path: string): Path {
  return [...path.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, key]) => (index === undefined ? (key ?? '') : Number(index)));
}

/** The line of a path's key (mappings) or item (lists); of the nearest parent when it is not there. */
function lineOfPath(document: Document.Parsed, lines: LineCounter, path: Path, onKey: boolean): number {
  let node: Node | ParsedNode | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && keyText(item.key) === String(part));
      if (pair === undefined) break;
      const key = pair.key;
      if (isRanged(key)) offset = key.range[0];
      node = isNodeLike(pair.value) ? pair.value : null;
      if (!onKey && depth === path.length - 1 && !isMap(node) && !isSeq(node) && node?.range !== null && node?.range !== undefined) offset = node.range[0];
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(part)];
      if (!isNodeLike(item)) break;
      node = item;
      offset = item.range?.[0] ?? offset;
    } else break;
  }
  return Math.max(1, lines.linePos(offset).line);
}

function keyText(key: unknown): string {
  const value = typeof key === 'object' && key !== null && 'value' in key ? key.value : key;
  return String(value);
}

function isRanged(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}

function isNodeLike(node: unknown): node is Node {
  return typeof node === 'object' && node !== null && 'range' in node;
}

/** What is allowed but deserves a word. Warnings about rules come from src/policy/lint.ts. */
function configWarnings(config: Config, raw: unknown): { at: Path; problem: string }[] {
  const warnings: { at: Path; problem: string }[] = [];
  if (config.capture.keylog !== 'off') warnings.push({ at: ['capture', 'keylog'], problem: 'warning: TLS secrets are written to disk; whoever reads them reads the traffic' });
  if (!config.issuer.crl.enabled) warnings.push({ at: ['issuer', 'crl', 'enabled'], problem: 'warning: clients that enforce revocation checks (Skype for Business, Outlook, schannel) refuse certificates without a CRL distribution point' });
  const silentService = config.services.find((service) => service.tunnelOnError === undefined);
  const silentRule = config.policy.ssl.some((rule) => rule.then.startsWith('intercept') && rule.tunnelOnError === undefined);
  if (valueAt(raw, ['tunnelOnError']) === undefined && silentService !== undefined && silentRule) {
    warnings.push({ at: ['tunnelOnError'], problem: 'warning: the default is relied on: tunnelOnError is false where neither rule nor service sets it' });
  }
  for (const [index, service] of config.services.entries()) {
    if (service.auth === null && (service.type === 'http-explicit' || service.type === 'socks') && !isLoopback(service.listen.host)) {
      warnings.push({ at: ['services', index], problem: `warning: ${service.name} is a proxy without auth on ${service.listen.host}: anyone who reaches it may use it` });
    }
  }
  return warnings;
}

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/** Makes file names absolute: operator's files start at the config's folder, the gateway's own at `state`. */
function resolveFiles(config: Config, configFile: string): Config {
  const folder = dirname(resolve(configFile));
  const fromConfig = (file: string): string => (isAbsolute(file) ? file : resolve(folder, file));
  const state = fromConfig(config.state);
  const fromState = (file: string): string => (isAbsolute(file) ? file : resolve(state, file));
  const fromStateOrOff = (file: string): string => (file === 'off' ? file : fromState(file));
  const { admin, issuer, upstream, logging, capture } = config;
  const passphraseOf = (files: { passphraseFile?: string | undefined }) => (files.passphraseFile === undefined ? {} : { passphraseFile: fromConfig(files.passphraseFile) });
  resolveRuleFiles(config, fromConfig);
  return {
    ...config,
    state,
    admin: { ...admin, tokenFile: fromState(admin.tokenFile), readTokenFile: fromState(admin.readTokenFile) },
    issuer: { ...issuer, cert: fromState(issuer.cert), key: fromState(issuer.key), ...passphraseOf(issuer) },
    issuers: Object.fromEntries(Object.entries(config.issuers).map(([name, files]) => [name, { cert: fromConfig(files.cert), key: fromConfig(files.key), ...passphraseOf(files) }])),
    services: config.services.map((service) => ({ ...service, userMap: service.userMap === null ? null : fromConfig(service.userMap), auth: service.auth === null ? null : { ...service.auth, users: fromConfig(service.auth.users) } })),
    upstream: {
      ...upstream,
      ca: upstream.ca === 'system' || upstream.ca === 'none' ? upstream.ca : fromConfig(upstream.ca),
      extraCa: upstream.extraCa.map(fromConfig),
      clientCerts: upstream.clientCerts.map((entry) => ({ ...entry, cert: fromConfig(entry.cert), key: fromConfig(entry.key) })),
    },
    logging: { ...logging, access: fromStateOrOff(logging.access), requests: fromStateOrOff(logging.requests) },
    capture: { keylog: fromStateOrOff(capture.keylog), pcap: fromStateOrOff(capture.pcap) },
  };
}

/** `file` conditions stand in every stage but the first, plain and under `not`; the parsed rules are ours to change. */
function resolveRuleFiles(config: Config, fromConfig: (file: string) => string): void {
  for (const stage of fileStages) {
    for (const rule of config.policy[stage]) {
      for (const place of [rule.when, rule.when?.not]) {
        if (place?.file !== undefined) place.file = place.file.map(fromConfig);
      }
    }
  }
}

const fileStages = ['ssl', 'certificate', 'protocol', 'http', 'sip', 'turn'] as const;
