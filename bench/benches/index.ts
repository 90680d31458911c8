// All benches that need the site, in the order in which they run.

import type { Bench } from '../bench.ts';
import { downloads, tunnelled, uploads } from './bulk.ts';
import { firstVisit } from './first-visit.ts';
import { handshake, resumed } from './handshake.ts';
import { idle, memory } from './held.ts';
import { http2, keepAlive, websocket } from './requests.ts';
import { workers } from './workers.ts';

export const benches: readonly Bench[] = [handshake, resumed, keepAlive, http2, websocket, downloads, uploads, tunnelled, memory, firstVisit, workers, idle];
