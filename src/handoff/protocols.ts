// Binds each protocol of core/protocols.ts to its detector and handler: one line a protocol, nothing else.

import type { Protocol } from '../core/flow.ts';
import type { DetectedName } from '../core/protocols.ts';
import { detectH2 } from '../http/detect.ts';
import { http } from '../http/index.ts';
import { sip } from '../sip/index.ts';
import { tls } from '../tls/index.ts';
import { msTurn, ssltcp, turn } from '../turn/index.ts';

/** A row without a handler is named and relayed unparsed. */
export type Binding = Pick<Protocol, 'detect'> & Partial<Protocol>;

export const protocols: Readonly<Record<DetectedName, Binding>> = {
  'ms-turn': msTurn,
  ssltcp,
  tls,
  h2: { detect: detectH2 },
  http,
  sip,
  turn,
};
