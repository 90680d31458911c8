// HTTP/1 and HTTP/2 as protocols of the table: how each is told, handled and refused.

import type { Protocol } from '../core/flow.ts';
import { detectH2, detectHttp } from './detect.ts';
import { exchangeHttp1 } from './h1.ts';
import { exchangeHttp2, refuseHttp2 } from './h2.ts';
import { refuseHttp1 } from './refuse.ts';

/** HTTP/1.0 and 1.1, plain and inside TLS (RFC 9110, RFC 9112). */
export const http: Protocol = { detect: detectHttp, handle: exchangeHttp1, refuse: refuseHttp1 };

/** HTTP/2 with prior knowledge or by ALPN (RFC 9113). */
export const h2: Protocol = { detect: detectH2, handle: exchangeHttp2, refuse: refuseHttp2 };
