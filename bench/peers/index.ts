// What `--peer` may name: every program that is measured beside Sallyport, whatever its set-up.

import { origins } from '../origins.ts';
import { haproxy } from './haproxy.ts';
import { mitmproxy } from './mitmproxy.ts';
import { mockttp } from './mockttp.ts';
import type { Peer } from './peer.ts';
import { squid } from './squid.ts';
import { sslsplit } from './sslsplit.ts';

export const programs: readonly Peer[] = [sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.plain)];
