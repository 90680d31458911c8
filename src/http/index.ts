// HTTP/1 as a protocol of the table: how it is told, handled and refused.

import type { Protocol } from '../core/flow.ts';
import { detectHttp } from './detect.ts';
import { exchangeHttp1 } from './h1.ts';
import { refuseHttp1 } from './refuse.ts';

/** HTTP/1.0 and 1.1, plain and inside TLS (RFC 9110, RFC 9112). */
export const http: Protocol = { detect: detectHttp, handle: exchangeHttp1, refuse: refuseHttp1 };
