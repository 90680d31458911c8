// Fetches the gateway's own distribution points the way a client would, and says what a client would stumble over. It changes nothing.

import { verify } from 'node:crypto';
import { request } from 'undici';
import { readInside, tags } from './asn1.ts';
import type { Issuer } from './authority.ts';
import type { Signer } from './cache.ts';
import { readCrl } from './crl.ts';

/** A CRL of ours is a few hundred octets; with revokedMax serials a few MiB. */
const bodyBytesMax = 16 * 1024 * 1024;

/** A distribution point that does not work from here. */
export interface DistributionFault {
  readonly url: string;
  /** For an operator, on one line. */
  readonly text: string;
}

/** One for each distribution point that does not work; empty when all do. */
export async function checkDistributionPoints(signers: readonly Signer[], timeoutMs: number): Promise<readonly DistributionFault[]> {
  const checks = signers.flatMap(({ issuer, addresses }) => addresses.crl.map(async (url) => {
    const problem = await checkOne(url, issuer, timeoutMs);
    return problem === null ? null : { url, text: `distribution point ${url}: ${problem}; clients that check revocation will drop TLS (see issuer.crl.host)` };
  }));
  return (await Promise.all(checks)).filter((fault) => fault !== null);
}

async function checkOne(url: string, issuer: Issuer, timeoutMs: number): Promise<string | null> {
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(timeoutMs) });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue;
      length += chunk.length;
      if (length > bodyBytesMax) return 'answers with more than a CRL';
      chunks.push(chunk);
    }
    if (statusCode !== 200) return `answers with status ${statusCode}`;
    return crlProblem(Buffer.concat(chunks), issuer);
  } catch (error) {
    return `cannot be fetched (${error instanceof Error ? error.message : String(error)})`;
  }
}

/** What is wrong with a fetched list, null when nothing is. */
export function crlProblem(bytes: Buffer, issuer: Issuer, now = Date.now()): string | null {
  const facts = readCrl(bytes);
  const [toBeSigned, , signature] = readInside(bytes, tags.sequence, 3) ?? [];
  if (facts === null || toBeSigned === undefined || signature?.tag !== tags.bits) return 'answers with something that is not a CRL';
  if (!verify('sha256', toBeSigned.whole, issuer.certificate.publicKey, signature.content.subarray(1))) return 'serves a CRL of another issuer';
  if (now > facts.nextUpdate) return `serves a CRL that ran out on ${new Date(facts.nextUpdate).toISOString()}`;
  return now < facts.thisUpdate ? 'serves a CRL from the future: check the clocks' : null;
}
