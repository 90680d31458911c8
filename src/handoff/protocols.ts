// Binds each protocol of core/protocols.ts to its detector and handler: one line a protocol, nothing else.

import type { Protocol } from '../core/flow.ts';
import type { DetectedName } from '../core/protocols.ts';
import { h2, http } from '../http/index.ts';
import { sip } from '../sip/index.ts';
import { tls } from '../tls/index.ts';
import { msTurn, ssltcp, turn } from '../turn/index.ts';

export const protocols: Readonly<Record<DetectedName, Protocol>> = {
  'ms-turn': msTurn,
  ssltcp,
  tls,
  h2,
  http,
  sip,
  turn,
};
