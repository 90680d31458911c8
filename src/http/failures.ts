// How failures of an exchange are told: the stand-in for a request that could not be read, and the status for what the
// server did. Nothing else.

import type { FlowError } from '../core/errors.ts';
import type { Pending } from './pending.ts';

/** The place in the queue of a request whose head was broken; the connection ends with its answer. */
export function brokenRequest(startedAt: number): Pending {
  return {
    method: 'other', host: null, target: '', startedAt, accept: null, persists: false, upgrade: null, awaitsContinue: false, ours: true, answer: null, closeAfter: true,
    status: 0, fromClientBytes: 0, toClientBytes: 0,
  };
}

/** Faults in what the server sent are the gateway's 502; the error table's own status is for those of the client. */
export function answerStatus(error: FlowError): number | null {
  return error.code === 'HTTP_MALFORMED' || error.code === 'HTTP_AMBIGUOUS' ? badGateway : null;
}

const badGateway = 502;
