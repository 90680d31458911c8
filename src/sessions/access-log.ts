// The access log, one JSON line for each session that ended, and the request log, one for each HTTP request. Never payload,
// never a query string: a session holds neither, and of a request's target only the path is told.

import type { EndedRequest, RequestLog } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import { openLineFile } from './line-file.ts';
import type { LineFile, LineFileOptions } from './line-file.ts';
import type { SessionLog } from './table.ts';

export interface AccessLog extends SessionLog, Pick<LineFile, 'reopen' | 'close'> {}
export interface RequestLogFile extends RequestLog, Pick<LineFile, 'reopen' | 'close'> {}

/** Opens the log of sessions for appending. Rejects with the system's error when the file cannot be opened. */
export async function openAccessLog(options: LineFileOptions): Promise<AccessLog> {
  const file = await openLineFile(options);
  return { write: (session) => file.add(accessLine(session)), reopen: () => file.reopen(), close: () => file.close() };
}

/** Likewise the log of requests. */
export async function openRequestLog(options: LineFileOptions & { readonly clock: () => number }): Promise<RequestLogFile> {
  const file = await openLineFile(options);
  const textMax = options.limits.sessionTextBytesMax;
  return {
    write: (session, request) => file.add(requestLine(session, request, options.clock(), textMax)),
    reopen: () => file.reopen(),
    close: () => file.close(),
  };
}

/** The line of a session: the fields of the API's session, after the time at which it ended. */
export function accessLine(session: Session): string {
  // Not a copy with one field more: to make that is half of what the line costs.
  return `{"time":"${new Date(session.endedAt ?? session.startedAt).toISOString()}",${JSON.stringify(session).slice(1)}\n`;
}

/** The line of a request: whose it was, what was asked and answered, how much and how long. Texts from the wire are cut at `textMax`. */
export function requestLine(session: Session, request: EndedRequest, now: number, textMax: number): string {
  const { id, service, protocol, client, user, rule } = session;
  const { method, host, target, status, startedAt, fromClientBytes, toClientBytes } = request;
  return `${JSON.stringify({
    time: new Date(now).toISOString(), session: id, service, protocol, client, user, rule,
    method: method.slice(0, textMax), host: host?.slice(0, textMax) ?? null, path: pathOf(target)?.slice(0, textMax) ?? null,
    status: status === 0 ? null : status, milliseconds: Math.max(0, now - startedAt), bytes: { fromClient: fromClientBytes, toClient: toClientBytes },
  })}\n`;
}

/** What a target says of the path, without scheme, authority (it may hold a password), query and fragment; null for CONNECT's and for none. */
function pathOf(target: string): string | null {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  if (path === '*' || path.startsWith('/')) return path;
  return path === '' && target !== '' ? '/' : null;
}
