// An exchange that only notes what its sides ask of it, to test each side alone.

import type { FlowError } from '../../../src/core/errors.ts';
import type { Flow } from '../../../src/core/flow.ts';
import type { Exchange, Pending } from '../../../src/http/pending.ts';
import { depsFor, sessionFor } from './harness.ts';
import type { DepsOptions } from './harness.ts';

export interface Noted extends Exchange {
  readonly calls: string[];
  readonly toServer: Buffer[];
  readonly toClientBytes: Buffer[];
  open: boolean;
  dialling: boolean;
  clientHasRoom: boolean;
  requestsWait: boolean;
}

export function notedExchange(options: DepsOptions & { readonly insideTls?: boolean } = {}): Noted {
  const calls: string[] = [];
  const toServer: Buffer[] = [];
  const toClientBytes: Buffer[] = [];
  const queue: Pending[] = [];
  const failure = (what: string) => (error: FlowError): void => void calls.push(`${what} ${error.code}`);
  return {
    flow: { session: sessionFor(), insideTls: options.insideTls ?? true } as Flow,
    deps: depsFor(options),
    details: { requests: 0, method: null, host: null, status: null, upgraded: null },
    queue, calls, toServer, toClientBytes,
    open: true, dialling: false, clientHasRoom: true, requestsWait: false,
    toUpstream: (bytes) => void toServer.push(bytes),
    toClient: (bytes) => void toClientBytes.push(bytes),
    holdClient: () => void calls.push('hold'),
    resumeClient: () => void calls.push('resume'),
    refuseWith: (pending, refusal, keepAlive) => {
      calls.push(`refuse ${refusal.code}`);
      pending.answer = Buffer.from('page');
      pending.closeAfter = !keepAlive;
    },
    advance: () => void calls.push('advance'),
    giveBack: (bytes, error) => void calls.push(`back ${String(bytes.length)} ${error.code}`),
    failRequest: failure('failRequest'),
    clientEnded: (midRequest) => void calls.push(`clientEnded ${String(midRequest)}`),
    failResponse: failure('failResponse'),
    responseDone: (closing) => {
      queue.shift();
      calls.push(`done ${String(closing)}`);
    },
    switchProtocols: (rest) => void calls.push(`switch ${rest.toString()}`),
    openTunnel: (rest) => void calls.push(`tunnel ${rest.toString()}`),
    finish: () => void calls.push('finish'),
  };
}
