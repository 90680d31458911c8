// Answers a SIP request in the server's stead (RFC 3261 section 8.2.6): Via (received and rport filled in), From, To, Call-ID and CSeq as
// they came, a tag on To, a Reason (RFC 3326). Writes nothing itself.

import { randomUUID } from 'node:crypto';
import type { ErrorCode } from '../core/errors.ts';
import { errorTable } from '../core/errors.ts';
import type { Endpoint } from '../core/session.ts';
import { addressIn, isPlainAddress, paramIn } from './address.ts';
import { cseqIn } from './headers.ts';
import type { HeaderName, SipHead } from './headers.ts';
import { stampedVia } from './via.ts';

const phrases: Readonly<Record<number, string>> = {
  400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 480: 'Temporarily Unavailable', 486: 'Busy Here',
  488: 'Not Acceptable Here', 500: 'Server Internal Error', 501: 'Not Implemented', 503: 'Service Unavailable', 600: 'Busy Everywhere',
  603: 'Decline', 606: 'Not Acceptable',
};
/** Fields a server reads from one place only: two of them could be read differently by the rules and by the server. */
const singleHeaders: readonly HeaderName[] = ['from', 'to', 'call-id', 'cseq'];

/** The status to refuse with: the rule's where it is a SIP failure, else 403 for policy and 503 for what failed. */
export function refusalStatus(code: ErrorCode, wanted: number | null): number {
  if (wanted !== null && wanted >= 400 && wanted <= 699) return wanted;
  return errorTable[code].stage === 'policy' ? 403 : 503;
}

/** Why a request cannot be judged although it is framed without doubt; null when it can. */
export function doubtIn(head: SipHead): string | null {
  for (const name of singleHeaders) {
    const count = head.countOf(name);
    if (count !== 1) return count === 0 ? `no ${name}` : `more than one ${name}`;
  }
  for (const name of ['from', 'to'] as const) if (!isPlainAddress(head.raw(name) ?? '')) return `no plain address in ${name}`;
  const cseq = cseqIn(head.raw('cseq'));
  // A server may go by the CSeq's method (RFC 3261 section 8.1.1.5 says they match).
  return cseq === null || cseq.method !== head.method ? 'CSeq does not fit the method' : null;
}

/**
 * A whole response of ours to the request, `Content-Length: 0`. Null when the request lacks what a response must carry, or is
 * an ACK, which nothing answers. `source` is where the request came from, for the topmost Via; null when that is not known.
 */
export function refuse(head: SipHead, status: number, code: ErrorCode, source: Endpoint | null): Buffer | null {
  const vias = head.all('via');
  const from = head.raw('from');
  const to = head.raw('to');
  const callId = head.raw('call-id');
  const cseq = head.raw('cseq');
  if (head.status !== 0 || head.method === 'ACK') return null;
  if (vias.length === 0 || from === null || to === null || callId === null || cseq === null) return null;
  const tag = paramIn(addressIn(to).params, 'tag') === null ? `;tag=${randomUUID()}` : '';
  const lines = [
    `SIP/2.0 ${status} ${phrases[status] ?? 'Refused'}`,
    ...vias.map((via, index) => `Via: ${index === 0 ? stampedVia(via, source) : via}`),
    `From: ${from}`,
    `To: ${to}${tag}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq}`,
    `Reason: SIP;cause=${status};text="${code}"`,
    'Content-Length: 0',
    '\r\n',
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

/** What the ACK of a refused INVITE shares with it (RFC 3261 section 17.1.1.3): Call-ID, CSeq number and top branch. */
export function transactionKey(head: SipHead): string {
  const via = head.raw('via') ?? '';
  const semicolon = via.indexOf(';');
  const branch = semicolon < 0 ? null : paramIn(via.slice(semicolon).replace(/,.*/s, ''), 'branch');
  return `${head.raw('call-id') ?? ''}\n${cseqIn(head.raw('cseq'))?.number ?? ''}\n${branch ?? ''}`;
}
