// The benches of single parts of Sallyport: without network, peers and root, each with rounds of its own. What a part has to reach it says itself.

import { benchCerts } from './certs.ts';
import { benchPolicy } from './policy.ts';
import type { PartReport } from './report.ts';
import { benchSip } from './sip.ts';
import { benchTurn } from './turn.ts';

/** Measures a part; `isSmoke`: in a second, to show that it works. */
export type PartBench = (isSmoke: boolean) => PartReport | Promise<PartReport>;

export const partBenches: ReadonlyMap<string, PartBench> = new Map<string, PartBench>([['certs', benchCerts], ['policy', benchPolicy], ['sip', benchSip], ['turn', benchTurn]]);
