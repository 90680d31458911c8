// Opens everything about emulated certificates in one process: issuers, leaf cache, ledger, CRL and OCSP, over one state folder that the
// processes of a gateway share. Only the primary process numbers and signs CRLs; all follow the ledger on disk.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { FlowError } from '../core/errors.ts';
import type { Leaf, LeafKeyType, LeafRequest, Revocation } from '../core/certificates.ts';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import { openState } from '../core/state.ts';
import { openAuthority } from './authority.ts';
import type { Issuer } from './authority.ts';
import { createLeafCache } from './cache.ts';
import type { Signer } from './cache.ts';
import { openCrlStore } from './crl-store.ts';
import type { IssuerAddresses } from './emulate.ts';
import { createFile, foreignBits, makeFolder, readIfThere } from './files.ts';
import { openIssuedRecord } from './issued.ts';
import { IssuerError } from './issuer-error.ts';
import { issuerFacts, oneLine } from './issuer-info.ts';
import type { IssuerInfo } from './issuer-info.ts';
import { startLeafKeys } from './leaf-keys.ts';
import { openLedger } from './ledger.ts';
import { pem } from './parts.ts';
import { createResponder } from './responder.ts';
import { createRevocation, paths } from './revocation.ts';
import { revoke } from './revoke.ts';
import type { RevokeRequest } from './revoke.ts';
import { checkDistributionPoints } from './self-check.ts';
import type { DistributionFault } from './self-check.ts';

/** Files of one further issuer. */
export interface IssuerFiles {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
}

/** The default issuer and how revocation data is offered. Paths are absolute. */
export interface IssuerOptions extends IssuerFiles {
  readonly leafKey: 'auto' | LeafKeyType;
  /** `hosts`: host[:port] of each distribution point, at least one where enabled. */
  readonly crl: { readonly enabled: boolean; readonly hosts: readonly string[]; readonly days: number };
  readonly ocsp: { readonly enabled: boolean; readonly staple: boolean };
  /** How the CA is made when there is none; default RSA, no name constraints. */
  readonly newKey?: LeafKeyType;
  readonly newPermitted?: readonly string[];
}

export interface CertificatesOptions {
  readonly stateDir: string;
  /** True in the one process that owns the state folder. */
  readonly primary: boolean;
  readonly issuer: IssuerOptions;
  /** Further issuers that rules choose by name. */
  readonly issuers?: Readonly<Record<string, IssuerFiles>>;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

export interface Certificates {
  /** Throws FlowError MINT_FAILED, MINT_QUEUE_FULL or CA_EXPIRED. */
  certFor(request: LeafRequest): Promise<Leaf>;
  readonly revocation: Revocation;
  issuerInfo(): IssuerInfo;
  /** Certificates of all our issuers, the untrusted one included: none of them may be believed upstream. */
  issuerPems(): readonly string[];
  readonly caPem: string;
  readonly caDer: Buffer;
  /** Looks at ledger and CRL on disk now instead of within `stateCheckMs`. */
  reload(): Promise<void>;
  /** Revokes by serial or host name; answers the serials. Other processes follow within `stateCheckMs`; see `unsigned`. */
  revoke(request: RevokeRequest): Promise<readonly string[]>;
  /** Names of issuers whose CRL lacks what was revoked, since it could not be signed: tried again every `stateCheckMs`. */
  unsigned(): readonly string[];
  /** Fetches the own distribution points as a client would; answers what is wrong with each. */
  checkDistributionPoints(): Promise<readonly DistributionFault[]>;
  close(): Promise<void>;
}

export const defaultIssuerName = 'default';
const untrustedName = 'untrusted';

/** Opens the certificates of a gateway, making the CA on first run. Rejects with IssuerError that says what to mend. */
export async function openCertificates(options: CertificatesOptions): Promise<Certificates> {
  const { stateDir, limits, meter, log, clock, primary } = options;
  const keys = startLeafKeys(limits.leafKeyLifetimeMs, clock);
  const { main, others, untrusted } = await openSigners(options);
  const trusted = [main, ...others];
  const signers = [...trusted, untrusted];
  const issuers = signers.map(({ issuer }) => issuer);
  const state = openState(stateDir, { durable: true, limits });
  const records = openState(stateDir, { durable: false, limits });
  const ledger = openLedger(state, limits.revokedMax);
  const issued = openIssuedRecord(records, limits, (error) => log.error({ err: error }, 'the record of issued leaves could not be written'));
  const crls = openCrlStore({ state, primary, meter, log, clock, ledger, days: options.issuer.crl.days, issuers: options.issuer.crl.enabled ? issuers : [] });
  const responder = createResponder({ issuers, ledger, limits, meter, clock });
  const staples = options.issuer.ocsp.enabled && options.issuer.ocsp.staple;
  const cache = createLeafCache({
    signerFor: (request) => signerFor(request, main, others, untrusted), keys, ledger, issued, secret: await gatewaySecret(stateDir), limits, meter, clock,
    staple: (issuer, serial) => (staples ? responder.staple(issuer, serial) : null),
  });
  const follow = (): void => {
    const changed = ledger.reload();
    if (changed) {
      cache.evictRevoked();
      responder.forget();
    }
    crls.refresh(changed);
  };
  const watch = watchState(follow, limits.stateCheckMs, log);
  return {
    certFor: (request) => cache.certFor(request),
    revocation: createRevocation({
      hosts: options.issuer.crl.hosts, issuers, trusted: trusted.map(({ issuer }) => issuer), crls,
      responder: options.issuer.ocsp.enabled ? responder : null, limits, meter, clock,
    }),
    issuerInfo: () => ({
      ...issuerFacts(main, crls, clock()), others: others.map((signer) => issuerFacts(signer, crls, clock())),
      untrusted: { subject: oneLine(untrusted.issuer.certificate.subject), fingerprint: untrusted.issuer.certificate.fingerprint256 },
    }),
    issuerPems: () => issuers.map(({ certDer }) => pem('CERTIFICATE', certDer)),
    caPem: pem('CERTIFICATE', main.issuer.certDer), caDer: main.issuer.certDer,
    reload: async () => watch.now(),
    async revoke(request) {
      issued.flush();
      const serials = revoke(request, { issuers, ledger, issued, leafDaysMax: limits.leafDaysMax, now: clock() });
      // The ledger has read its own change: follow it here without waiting for the watch.
      cache.evictRevoked();
      responder.forget();
      if (serials.length > 0) crls.refresh(true);
      return serials;
    },
    unsigned: () => issuers.filter((issuer) => crls.isDue(issuer)).map(({ name }) => name),
    checkDistributionPoints: () => checkDistributionPoints(trusted, limits.crlRequestMs),
    async close() {
      if (!state.isOpen) return;
      watch.stop();
      issued.flush();
      records.close();
      state.close();
    },
  };
}

interface Signers {
  readonly main: Signer;
  readonly others: readonly Signer[];
  readonly untrusted: Signer;
}

async function openSigners({ stateDir, issuer: main, issuers = {}, clock }: CertificatesOptions): Promise<Signers> {
  await makeFolder(stateDir);
  checkHosts(main.crl.hosts);
  const now = clock();
  const key = main.newKey ?? 'rsa';
  const signer = (issuer: Issuer, shown: boolean): Signer => ({ issuer, leafKey: main.leafKey, addresses: addressesOf(issuer, main, issuer.name === defaultIssuerName, shown) });
  const own = await openAuthority({
    name: defaultIssuerName, certFile: main.cert, keyFile: main.key, passphrase: main.passphrase ?? null, now,
    create: { key, label: 'Sallyport CA', permitted: main.newPermitted ?? [] },
  });
  const untrusted = await openAuthority({
    name: untrustedName, certFile: join(stateDir, 'untrusted.pem'), keyFile: join(stateDir, 'untrusted.key'), passphrase: null, now,
    create: { key, label: 'Sallyport UNTRUSTED', permitted: [] },
  });
  const others: Signer[] = [];
  for (const [name, files] of Object.entries(issuers)) {
    others.push(signer(await openAuthority({ name, certFile: files.cert, keyFile: files.key, passphrase: files.passphrase ?? null, create: null, now }), true));
  }
  return { main: signer(own, true), others, untrusted: signer(untrusted, false) };
}

/** Where clients of an issuer find its data. `shown`: its certificate is handed out (never that of the untrusted issuer). */
export function addressesOf(issuer: Issuer, options: IssuerOptions, isDefault: boolean, shown: boolean): IssuerAddresses {
  const { hosts, enabled } = options.crl;
  const at = (path: string): string[] => hosts.map((host) => `http://${host}${path}`);
  return {
    crl: enabled && issuer.signsCrls ? at(paths.crl(issuer)) : [],
    ocsp: options.ocsp.enabled ? at(paths.ocsp) : [],
    caIssuers: shown ? at(isDefault ? paths.caCertificate : paths.issuerCertificate(issuer)) : [],
  };
}

function checkHosts(hosts: readonly string[]): void {
  const bad = hosts.find((host) => !/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/.test(host));
  if (bad !== undefined) throw new IssuerError(`issuer.crl.host: ${JSON.stringify(bad)} is not host[:port]; write no scheme and no path, and IPv6 addresses in brackets`);
}

function signerFor(request: LeafRequest, main: Signer, others: readonly Signer[], untrusted: Signer): Signer {
  if (request.trust === 'untrusted') return untrusted;
  if (request.issuer === null || request.issuer === defaultIssuerName) return main;
  const found = others.find(({ issuer }) => issuer.name === request.issuer);
  if (found === undefined) throw new FlowError('MINT_FAILED', `there is no issuer named ${request.issuer}`);
  return found;
}

const secretBytes = 32;

/** Shared by the processes of a gateway; made once. */
async function gatewaySecret(stateDir: string): Promise<Buffer> {
  const file = join(stateDir, 'gateway.secret');
  if ((await readIfThere(file)) === null) await createFile(file, `${randomBytes(secretBytes).toString('hex')}\n`);
  if ((await foreignBits(file)) !== 0) throw new IssuerError(`${file}: others than its owner may read or write it; run \`chmod 600 ${file}\``);
  const secret = Buffer.from((await readIfThere(file))?.toString().trim() ?? '', 'hex');
  if (secret.length < secretBytes) throw new IssuerError(`${file}: is not a secret of ${secretBytes} octets in hex; remove it to have a new one made`);
  return secret;
}

/** Follows the state database; a look that fails is logged, and the next one comes. */
function watchState(follow: () => void, everyMs: number, log: Logger): { now(): void; stop(): void } {
  const run = (): void => {
    try {
      follow();
    } catch (error) {
      log.error({ err: error }, 'the state database could not be read; the last state stays in force');
    }
  };
  const timer = setInterval(run, everyMs).unref();
  return { now: run, stop: () => clearInterval(timer) };
}
