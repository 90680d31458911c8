// TLS as a protocol: found by its ClientHello; its handler answers the same flow one layer further in.

import type { Protocol } from '../core/flow.ts';
import { FlowError } from '../core/errors.ts';
import { detectTls } from './client-hello.ts';
import { isTlsFacts, openTls } from './layer.ts';

export const tls: Protocol = {
  detect: detectTls,
  handle(flow, deps, facts) {
    if (!isTlsFacts(facts)) throw new FlowError('INTERNAL', 'TLS layer without hello and verdict');
    return openTls(flow, deps, facts);
  },
};
