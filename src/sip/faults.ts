// Why a SIP stream cannot be framed any further: what the framer says, with the error code and the limit that was hit.

import type { LimitName } from '../core/limits.ts';

/** Why framing stopped. */
export interface FramingFault {
  readonly code: 'SIP_MALFORMED' | 'SIP_TOO_LARGE';
  readonly detail: string;
  /** The limit that was hit, if any. */
  readonly limit: LimitName | null;
}

/** Faults of size, by what is too large. */
export const tooLarge = {
  'start line': { code: 'SIP_TOO_LARGE', detail: 'start line', limit: 'sipStartLineBytesMax' },
  'header bytes': { code: 'SIP_TOO_LARGE', detail: 'headers', limit: 'sipHeadersBytesMax' },
  headers: { code: 'SIP_TOO_LARGE', detail: 'header lines', limit: 'sipHeadersMax' },
  body: { code: 'SIP_TOO_LARGE', detail: 'body', limit: 'sipBodyBytesMax' },
} as const satisfies Record<string, FramingFault>;

/** A fault of form; `detail` is shown to operators. */
export function malformed(detail: string): FramingFault {
  return { code: 'SIP_MALFORMED', detail, limit: null };
}
