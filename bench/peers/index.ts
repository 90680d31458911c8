// The proxies that are measured side by side, ours first.

import { haproxy } from './haproxy.ts';
import { mitmproxy } from './mitmproxy.ts';
import type { Peer } from './peer.ts';
import { sallyport } from './sallyport.ts';
import { squid } from './squid.ts';
import { sslsplit } from './sslsplit.ts';

export const peers: readonly Peer[] = [sallyport, sslsplit, squid, mitmproxy, haproxy];
