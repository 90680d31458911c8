// Keys of root certificates that shipped with products and whose private half everybody can have: whoever trusts one trusts anyone. They are known
// by their public key, so that another certificate for the same key is no way around.

import { createHash } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';

/** SHA-256 of the SubjectPublicKeyInfo, hex, and what it came with. */
const exposed: ReadonlyMap<string, string> = new Map([
  ['4bb8f35ba1e126f8dde1b0c420625ed86dce61a7bddadbdea9aba578ff13145e', 'Superfish (Lenovo, 2014)'],
  ['cdee9f3305572a677e1a6c82dc1e02a35b11cae6a684338c9f37fe1ac8daec23', 'eDellRoot (Dell, 2015)'],
  ['130ad4e0633521290531b6651f5759b0bc7bc656709ff8f365c2143b0389b6f6', 'DSDTestProvider (Dell, 2015)'],
  ['8f591f7aa4dc3efe9490c38a4692c9011ed128f1de595569406d77b6fa1f6b4c', 'HeadSetup (Sennheiser, 2017)'],
]);

/** What a certificate's key came with when its private half is public, else null. */
export function exposedKeyOf(certificate: X509Certificate): string | null {
  try {
    return exposed.get(createHash('sha256').update(certificate.publicKey.export({ type: 'spki', format: 'der' })).digest('hex')) ?? null;
  } catch {
    // A key of a kind that cannot be read is none of these.
    return null;
  }
}
