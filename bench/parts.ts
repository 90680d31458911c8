// The benches of single parts of Sallyport: without network, peers and root, each with rounds of its own. What a part has to reach it says itself.

import { benchCerts } from './certs.ts';
import { benchConsole } from './console.ts';
import { benchPolicy } from './policy.ts';
import type { PartReport } from './report.ts';
import { benchSip } from './sip.ts';
import { benchTtfb } from './ttfb.ts';
import { benchTurn } from './turn.ts';

export interface Part {
  readonly name: string;
  /** One line for `--list`. */
  readonly about: string;
  /** Measures; `isSmoke`: in a second, to show that it works. */
  run(isSmoke: boolean): PartReport | Promise<PartReport>;
}

export const parts: readonly Part[] = [
  { name: 'certs', about: 'emulated certificates made in a second (EC and RSA issuer), and a hit in the cache', run: benchCerts },
  { name: 'console', about: 'API pages and the console\'s filters in Chromium over 10,000 sessions', run: benchConsole },
  { name: 'policy', about: 'the cost of a decision with 1,000 rules and a list of a million names', run: benchPolicy },
  { name: 'sip', about: 'SIP messages framed and observed in a second of CPU', run: benchSip },
  { name: 'ttfb', about: 'time to the first byte of a server that speaks first: direct, and through the gateway', run: benchTtfb },
  { name: 'turn', about: 'TURN frames through the relay with its taps beside the same relay without', run: benchTurn },
];
