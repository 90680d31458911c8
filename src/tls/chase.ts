// Completes the chain of a server that does not send its intermediates: fetches issuers from where certificates say they are (RFC 5280
// section 4.2.2.1) until a root in force has signed. It proves signatures only; what else a chain must satisfy is judged in verify.ts.

import { X509Certificate } from 'node:crypto';
import { readElement, readElements, readInside, readOid, tags } from '../core/der.ts';
import type { Limits } from '../core/limits.ts';
import type { Fetcher } from './fetch.ts';
import { fieldsOf } from './revocation-parts.ts';
import { chainMax, isIssuedBy, isSelfSigned } from './verify.ts';
import type { Anchors } from './verify.ts';

/**
 * How a chase ended. `proven`: the chain from the leaf up to (without) the root; `untrusted`: the way up ends at a root that is not in force;
 * `lost`: an issuer could not be had.
 */
export type Chase = { readonly end: 'proven'; readonly chain: readonly X509Certificate[] } | { readonly end: 'untrusted' } | { readonly end: 'lost' };

interface Remembered {
  readonly untilMs: number;
  readonly certificates: Promise<readonly X509Certificate[]>;
}

/** Issuers fetched that are missing at once; deeper hierarchies do not occur. */
const fetchedMax = 4;
/** Addresses of one certificate that are tried. */
const urlsMax = 2;
const bundleMax = 16;

/** Fetches issuers, one request at a time for each address, and remembers them. */
export class IssuerChaser {
  readonly #fetcher: Fetcher;
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #known = new Map<string, Remembered>();

  constructor(fetcher: Fetcher, limits: Limits, clock: () => number) {
    this.#fetcher = fetcher;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Completes the chain that was sent, leaf first. Never rejects. */
  async complete(sent: readonly X509Certificate[], anchors: Anchors): Promise<Chase> {
    const chain = connected(sent);
    for (let fetched = 0; fetched <= fetchedMax && chain.length < chainMax; fetched += 1) {
      const top = chain.at(-1);
      if (top === undefined) return { end: 'lost' };
      if (anchors.issuerOf(top) !== null) return { end: 'proven', chain };
      if (isSelfSigned(top)) return { end: 'untrusted' };
      const issuer = await this.#issuerOf(top);
      if (issuer === null) return { end: 'lost' };
      chain.push(issuer);
    }
    return { end: 'lost' };
  }

  async #issuerOf(certificate: X509Certificate): Promise<X509Certificate | null> {
    for (const url of (fieldsOf(certificate)?.issuerUrls ?? []).slice(0, urlsMax)) {
      const issuer = (await this.#at(url)).find((one) => one.ca && isIssuedBy(certificate, one));
      if (issuer !== undefined) return issuer;
    }
    return null;
  }

  #at(url: string): Promise<readonly X509Certificate[]> {
    const now = this.#clock();
    const known = this.#known.get(url);
    if (known !== undefined && known.untilMs > now) return known.certificates;
    const { issuerFetchMs, issuerBytesMax, issuersFetchedMax, issuerCacheMs, revocationRetryMs } = this.#limits;
    const certificates = this.#fetcher.fetch(url, { bytesMax: issuerBytesMax, timeMs: issuerFetchMs })
      .then((body) => (body === null ? [] : certificatesIn(body)));
    this.#remember(url, { untilMs: now + issuerCacheMs, certificates }, issuersFetchedMax);
    void certificates.then((found) => {
      // What could not be had is tried again soon.
      if (found.length === 0 && this.#known.get(url)?.certificates === certificates) this.#remember(url, { untilMs: now + revocationRetryMs, certificates }, issuersFetchedMax);
    });
    return certificates;
  }

  #remember(url: string, entry: Remembered, max: number): void {
    this.#known.delete(url);
    this.#known.set(url, entry);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= max) break;
      this.#known.delete(oldest);
    }
  }
}

/** The certificates that follow from the leaf, each signed by the next; what else was sent is left out. */
function connected(sent: readonly X509Certificate[]): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (const certificate of sent) {
    const below = chain.at(-1);
    if (below === undefined || (certificate.ca && isIssuedBy(below, certificate))) chain.push(certificate);
    else break;
  }
  return chain;
}

const signedData = '1.2.840.113549.1.7.2';

/** The certificates in what an address answered: DER, PEM, or a PKCS#7 bundle (RFC 5280 allows the first and the last, servers send all). */
export function certificatesIn(body: Buffer): readonly X509Certificate[] {
  const text = body.subarray(0, 64).includes('-----BEGIN ') ? body.toString('latin1') : null;
  const ders = text === null ? (bundled(body) ?? [body])
    : [...text.matchAll(/-----BEGIN (?:CERTIFICATE|PKCS7)-----([^-]+)-----END/g)].slice(0, bundleMax).flatMap(([, base64 = '']) => {
      const der = Buffer.from(base64, 'base64');
      return bundled(der) ?? [der];
    });
  return ders.slice(0, bundleMax).flatMap((der) => {
    try {
      return [new X509Certificate(der)];
    } catch {
      return [];
    }
  });
}

/** The certificates of a degenerate SignedData (RFC 5652 section 5.1), null when it is none. */
function bundled(der: Buffer): readonly Buffer[] | null {
  const [type, content] = readInside(der, tags.sequence, 3) ?? [];
  if (type?.tag !== tags.oid || readOid(type.content) !== signedData || content?.tag !== tags.constructed(0)) return null;
  const data = readElement(content.content);
  const fields = data?.tag === tags.sequence ? (readElements(data.content, 8) ?? []) : [];
  const list = fields.find(({ tag }) => tag === tags.constructed(0));
  return list === undefined ? [] : (readElements(list.content, bundleMax) ?? []).map(({ whole }) => whole);
}
