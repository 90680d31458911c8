// How failures of an exchange are told: the stand-in for a request that could not be read, the page that answers a request, and the status for
// what the server did. Nothing else.

import type { FlowError } from '../core/errors.ts';
import type { Refusal } from '../core/flow.ts';
import { pageBytes, pageFor } from './pages.ts';
import type { Pending } from './pending.ts';

/** The place in the queue of a request whose head was broken; the connection ends with its answer. */
export function brokenRequest(startedAt: number): Pending {
  return {
    method: 'other', host: null, target: '', startedAt, accept: null, persists: false, upgrade: null, awaitsContinue: false, ours: true, answer: null, closeAfter: true,
    status: 0, fromClientBytes: 0, toClientBytes: 0,
  };
}

/** Makes the page of a refusal the request's answer. */
export function answerWithPage(pending: Pending, refusal: Refusal, keepAlive: boolean): void {
  const page = pageFor(refusal, pending.accept);
  pending.ours = true;
  pending.answer = pageBytes(page, { accept: pending.accept, toHead: pending.method === 'HEAD', keepAlive });
  pending.status = page.status;
  pending.closeAfter = !keepAlive;
}

/** Faults in what the server sent are the gateway's 502; the error table's own status is for those of the client. */
export function answerStatus(error: FlowError): number | null {
  return error.code === 'HTTP_MALFORMED' || error.code === 'HTTP_AMBIGUOUS' ? badGateway : null;
}

const badGateway = 502;
