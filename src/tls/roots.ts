// The roots that new secure contexts believe: those of the trust they are made for. They are the process's default, so that all contexts share
// one store instead of building their own; a context keeps the store it was made with.

import type { X509Certificate } from 'node:crypto';
import { setDefaultCACertificates } from 'node:tls';

let used: readonly X509Certificate[] | null = null;

/** Contexts made from here on, until the next call, believe these and no others. Nothing to do for the same list as last time. */
export function useRoots(roots: readonly X509Certificate[]): void {
  if (roots === used) return;
  setDefaultCACertificates(roots.map((root) => root.toString()));
  used = roots;
}
