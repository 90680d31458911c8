// Which of the gateway's own client certificates a server is shown (upstream.clientCerts): by the name asked for, else by the address. It reads
// no files and checks no keys; whoever configured it said which servers may see it.

import { domainToASCII } from 'node:url';
import type { ClientCertificate } from '../core/certificates.ts';
import type { ShownCertificate } from './connect.ts';

/** The first certificate whose hosts match, with its place in the list; null when none does. `host` is a name or an address. */
export function clientCertificateFor(list: readonly ClientCertificate[], host: string | null): ShownCertificate | null {
  if (host === null) return null;
  const name = host.toLowerCase().replace(/\.$/, '');
  for (const [index, certificate] of list.entries()) if (certificate.hosts.some((pattern) => matches(ascii(pattern), name))) return { index, certificate };
  return null;
}

/** Names on the wire are ASCII; labels with wildcards stay as written, and so do plain ones: of numbers alone the converter would make addresses. */
function ascii(pattern: string): string {
  return pattern.toLowerCase().split('.').map((label) => (/^[\x21-\x7e]*$/.test(label) || /[*?]/.test(label) ? label : domainToASCII(label) || label)).join('.');
}

/** As in policy: `*.x` is every name below x, `.x` is x and every name below it, else `*` is any text and `?` one character. */
function matches(pattern: string, name: string): boolean {
  if (pattern.startsWith('.')) return name === pattern.slice(1) || name.endsWith(pattern);
  return matchesFrom(pattern, 0, name, 0);
}

/** Goes back to the last `*` only: no pattern costs more than its length times the name's. */
function matchesFrom(pattern: string, patternStart: number, name: string, start: number): boolean {
  let [at, patternAt, star, starAt] = [start, patternStart, -1, 0];
  while (at < name.length) {
    if (pattern[patternAt] === '*') {
      star = patternAt;
      starAt = at;
      patternAt += 1;
    } else if (pattern[patternAt] === name[at] || pattern[patternAt] === '?') {
      at += 1;
      patternAt += 1;
    } else if (star !== -1) {
      starAt += 1;
      at = starAt;
      patternAt = star + 1;
    } else return false;
  }
  while (pattern[patternAt] === '*') patternAt += 1;
  return patternAt === pattern.length;
}
