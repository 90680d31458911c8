// `sallyport ca`: shows what clients must trust and what is wrong, exports the certificate, imports or makes an issuer, revokes leaves.
// It works on the files of the state folder; a running gateway notices revocations by itself and new issuers when it is started again.

import { readFile } from 'node:fs/promises';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { installAuthority, openAuthority, retireAuthority } from '../certs/authority.ts';
import type { Issuer } from '../certs/authority.ts';
import { lastList } from '../certs/crl-store.ts';
import { readCrl, revokedCount } from '../certs/crl.ts';
import { readIfThere } from '../certs/files.ts';
import { IssuerError } from '../certs/issuer-error.ts';
import { oneLine } from '../certs/issuer-info.ts';
import { openIssuedRecord } from '../certs/issued.ts';
import { LedgerFullError, openLedger } from '../certs/ledger.ts';
import { addressesOf, defaultIssuerName } from '../certs/open.ts';
import type { CertificatesOptions, IssuerFiles } from '../certs/open.ts';
import { certificatesInPem, pem } from '../certs/parts.ts';
import { openPkcs12 } from '../certs/pkcs12.ts';
import { revoke } from '../certs/revoke.ts';
import { firstLine, issuerOptions } from '../certificate-options.ts';
import type { Config } from '../config/schema.ts';
import { openState, StateError } from '../core/state.ts';

/** What the command must know of the config. */
export type CaOptions = Pick<CertificatesOptions, 'stateDir' | 'issuer' | 'issuers' | 'limits'>;

/** Where the command writes. */
export interface CaOutput {
  print(line: string): void;
  complain(line: string): void;
  /** For DER. */
  write(bytes: Uint8Array): void;
}

/** CRLReason words of RFC 5280 section 5.3.1 that fit a leaf. */
const reasons: ReadonlyMap<string, number> = new Map([['unspecified', 0], ['keyCompromise', 1], ['affiliationChanged', 3], ['superseded', 4], ['cessationOfOperation', 5]]);
const reasonWords = [...reasons.keys()].join(', ');

const usage = `Usage: sallyport ca COMMAND
  show                                    what clients must trust, where revocation data is, and what is wrong
  export [--der]                          the CA certificate on standard output
  import --cert FILE --key FILE           take over an issuer (PEM); --p12 FILE instead takes both from PKCS#12
         [--passphrase-file FILE]         whose first line is the passphrase of the key or the PKCS#12 file
         [--issuer NAME]                  to where one of \`issuers\` is kept, instead of the default
  new [--ec] [--permit NAME|CIDR ...]     make a CA; --permit confines it to names and networks; --replace moves the old one aside
  revoke SERIAL|HOST [--keep]             revoke emulated certificates; --keep goes on serving them, for tests
         [--reason WORD]                  ${reasonWords}`;

/** Runs one `ca` command of a loaded config. Answers the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function run(args: readonly string[], { config, ...output }: { readonly config: Config } & Omit<CaOutput, 'write'>): Promise<number> {
  const toStandard = { ...output, write: (bytes: Uint8Array) => void process.stdout.write(bytes) };
  return reporting(toStandard, () => dispatch(args, { stateDir: config.state, ...issuerOptions(config), limits: config.limits }, toStandard));
}

/** The same without a config. */
export function runWith(args: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  return reporting(output, () => dispatch(args, options, output));
}

async function dispatch([command, ...rest]: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  switch (command) {
    case 'show': return await show(options, output);
    case 'export': return await exportCertificate(rest, options, output);
    case 'import': return await importIssuer(rest, options, output);
    case 'new': return await makeNew(rest, options, output);
    case 'revoke': return await revokeLeaves(rest, options, output);
    case '--help': case '-h':
      output.print(usage);
      return 0;
    default:
      output.complain(usage);
      return 2;
  }
}

/** What an operator can mend ends in one line. */
async function reporting(output: CaOutput, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!isExpected(error)) throw error;
    output.complain(`sallyport ca: ${error.message}`);
    return isUsageError(error) ? 2 : 1;
  }
}

async function openDefault({ issuer }: CaOptions): Promise<Issuer> {
  if ((await readIfThere(issuer.key)) === null && (await readIfThere(issuer.cert)) === null) {
    throw new IssuerError('there is no CA yet; `sallyport run` makes one on first start, `sallyport ca new` makes one now');
  }
  return openAuthority({ name: defaultIssuerName, certFile: issuer.cert, keyFile: issuer.key, passphrase: issuer.passphrase ?? null, create: null, now: Date.now() });
}

async function openAll(options: CaOptions): Promise<Issuer[]> {
  const others = await Promise.all(Object.entries(options.issuers ?? {}).map(([name, files]) =>
    openAuthority({ name, certFile: files.cert, keyFile: files.key, passphrase: files.passphrase ?? null, create: null, now: Date.now() })));
  return [await openDefault(options), ...others];
}

async function show(options: CaOptions, output: CaOutput): Promise<number> {
  let problems = 0;
  const issuers = await openAll(options);
  const lists = withState(options, (state) => new Map(issuers.map((issuer) => [issuer.keyIdHex, listFacts(lastList(state, issuer))])));
  for (const issuer of issuers) {
    const isDefault = issuer.name === defaultIssuerName;
    const { crl, ocsp, caIssuers } = addressesOf(issuer, options.issuer, isDefault, true);
    const { certificate } = issuer;
    const last = lists.get(issuer.keyIdHex) ?? listFacts(null);
    const warnings = last.ended ? [...issuer.warnings, 'its last CRL has run out: is the gateway running on this state folder?'] : issuer.warnings;
    const lines: (readonly [string, string])[] = [
      ['issuer', issuer.name], ['subject', oneLine(certificate.subject)], ['SHA-256', certificate.fingerprint256],
      ['valid', `${new Date(issuer.notBefore).toISOString()} to ${new Date(issuer.notAfter).toISOString()}`],
      ['key', `${issuer.keyType === 'rsa' ? 'RSA' : 'EC'} ${certificate.publicKey.asymmetricKeyDetails?.modulusLength ?? certificate.publicKey.asymmetricKeyDetails?.namedCurve ?? ''}`],
      ['key id', issuer.keyIdHex], ['file', isDefault ? options.issuer.cert : (options.issuers?.[issuer.name]?.cert ?? '')],
      ...crl.map((url) => ['CRL', url] as const), ...ocsp.map((url) => ['OCSP', url] as const), ...caIssuers.map((url) => ['CA issuer', url] as const),
      ['last CRL', last.text],
      ['trust', issuer.isRoot ? 'install this certificate as a trusted root on every client' : `clients must trust the root above it: ${oneLine(certificate.issuer)}`],
      ...warnings.map((warning) => ['WARNING', warning] as const),
    ];
    problems += warnings.length;
    output.print(`${lines.map(([label, text]) => `${label.padEnd(10)} ${text}`).join('\n')}\n`);
  }
  output.print(problems === 0 ? 'Nothing is wrong with it.' : `${problems} warning(s): some clients will refuse.`);
  return 0;
}

function listFacts(bytes: Buffer | null): { readonly text: string; readonly ended: boolean } {
  const facts = bytes === null ? null : readCrl(bytes);
  if (bytes === null || facts === null) return { text: 'none yet', ended: false };
  const text = `number ${facts.number}, ${revokedCount(bytes)} revoked, valid until ${new Date(facts.nextUpdate).toISOString()}`;
  return { text, ended: facts.nextUpdate < Date.now() };
}

function withState<T>({ stateDir, limits }: CaOptions, work: (state: DatabaseSync) => T): T {
  const state = openState(stateDir, { durable: true, limits });
  try {
    return work(state);
  } finally {
    state.close();
  }
}

async function exportCertificate(args: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { der: { type: 'boolean', default: false } } });
  const { certDer } = await openDefault(options);
  if (values.der) output.write(certDer);
  else output.print(pem('CERTIFICATE', certDer).trimEnd());
  return 0;
}

async function importIssuer(args: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { cert: { type: 'string' }, key: { type: 'string' }, p12: { type: 'string' }, 'passphrase-file': { type: 'string' }, issuer: { type: 'string' } } });
  const target = filesOf(options, values.issuer);
  const passphrase = values['passphrase-file'] === undefined ? null : firstLine(await readFile(values['passphrase-file'], 'utf8'));
  let material;
  if (values.p12 !== undefined && values.cert === undefined && values.key === undefined) {
    material = { ...openPkcs12(await readFile(values.p12), passphrase ?? ''), passphrase: null };
  } else if (values.p12 === undefined && values.cert !== undefined && values.key !== undefined) {
    material = { keyPem: await readFile(values.key), chain: certificatesInPem(await readFile(values.cert, 'latin1')), passphrase };
  } else throw new UsageError('give --cert FILE and --key FILE, or --p12 FILE');
  if (material.chain.length === 0) throw new IssuerError(`${values.cert ?? values.p12 ?? ''}: holds no certificate in PEM form`);
  const warnings = await installAuthority({ certFile: target.cert, keyFile: target.key }, material, Date.now());
  output.print(`Imported to ${target.cert} and ${target.key}. Start the gateway again to use it.`);
  for (const warning of warnings) output.print(`WARNING    ${warning}`);
  return 0;
}

function filesOf({ issuer, issuers = {} }: CaOptions, name: string | undefined): IssuerFiles {
  const files = name === undefined || name === defaultIssuerName ? issuer : issuers[name];
  if (files === undefined) throw new UsageError(`there is no issuer named ${String(name)}; issuers of the config: ${Object.keys(issuers).join(', ') || 'none'}`);
  return files;
}

async function makeNew(args: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { ec: { type: 'boolean', default: false }, replace: { type: 'boolean', default: false }, permit: { type: 'string', multiple: true, default: [] } } });
  const files = { certFile: options.issuer.cert, keyFile: options.issuer.key };
  const exists = (await readIfThere(files.keyFile)) !== null || (await readIfThere(files.certFile)) !== null;
  if (exists && !values.replace) throw new IssuerError(`${files.certFile}: there is a CA already; --replace moves it aside and makes another, which every client must then be given`);
  if (exists) await retireAuthority(files, Date.now());
  await openAuthority({ name: defaultIssuerName, ...files, passphrase: null, now: Date.now(), create: { key: values.ec ? 'ec' : 'rsa', label: 'Sallyport CA', permitted: values.permit } });
  return show(options, output);
}

async function revokeLeaves(args: readonly string[], options: CaOptions, output: CaOutput): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { keep: { type: 'boolean', default: false }, reason: { type: 'string', default: 'unspecified' } } });
  const [target, another] = positionals;
  const reason = reasons.get(values.reason);
  if (target === undefined || another !== undefined) throw new UsageError('give one serial number or host name');
  if (reason === undefined) throw new UsageError(`there is no reason ${values.reason}; reasons: ${reasonWords}`);
  const { limits } = options;
  const issuers = await openAll(options);
  // What a gateway showed a moment ago is on its way into the record.
  await sleep(2 * limits.stateSaveMs);
  const serials = withState(options, (state) => revoke({ target, keep: values.keep, reason }, {
    issuers, ledger: openLedger(state, limits.revokedMax), leafDaysMax: limits.leafDaysMax, now: Date.now(), issued: openIssuedRecord(state, limits, () => undefined),
  }));
  if (serials.length === 0) throw new IssuerError(`${target}: no emulated certificate with this serial number or host name is known`);
  for (const serial of serials) output.print(`revoked ${serial}`);
  output.print(`A running gateway lists ${serials.length === 1 ? 'it' : 'them'} within seconds; clients may hold the old CRL until it runs out.`);
  return 0;
}

/** The command was written wrongly. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

function isUsageError(error: Error): boolean {
  return error instanceof UsageError || ('code' in error && typeof error.code === 'string' && error.code.startsWith('ERR_PARSE_ARGS'));
}

/** What an operator can mend; anything else is a defect and goes on with its stack. */
function isExpected(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return error instanceof IssuerError || error instanceof LedgerFullError || error instanceof StateError || isUsageError(error) || ('code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code));
}
