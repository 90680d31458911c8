// What operators see of each request: session details and the two HTTP meters. It holds no sockets and never logs payload.

import type { Deps, HttpDetails, Session } from '../core/flow.ts';
import { methodLabel, statusLabel } from './methods.ts';

/** Label lists by protocol, method and status class, made once each: closed sets, so the map stays small. */
const labelLists = new Map<string, readonly string[]>();

/** The HTTP details of a session, made on first use. */
export function httpDetails(session: Session): HttpDetails {
  session.details.http ??= { requests: 0, method: null, host: null, status: null, upgraded: null };
  return session.details.http;
}

/** Notes a request in the session as its head was accepted. */
export function noteRequest(details: HttpDetails, method: string, host: string | null, textBytesMax: number): void {
  details.requests += 1;
  details.method = method.length > textBytesMax ? method.slice(0, textBytesMax) : method;
  details.host = host !== null && host.length > textBytesMax ? host.slice(0, textBytesMax) : host;
  details.status = null;
}

/** Counts a request that has ended; status 0 means that it was never answered. */
export function countRequest(session: Session, deps: Deps, method: string, status: number, startedAt: number): void {
  deps.meter.add('http_requests_total', labelsFor(session.protocol, method, status));
  deps.meter.observe('http_request_seconds', labelsFor(session.protocol, null, 0), (deps.clock() - startedAt) / millisecondsPerSecond);
}

const millisecondsPerSecond = 1000;

function labelsFor(protocol: string, method: string | null, status: number): readonly string[] {
  const methodWord = method === null ? '' : methodLabel(method);
  const key = `${protocol} ${methodWord} ${String(Math.trunc(status / 100))}`;
  const known = labelLists.get(key);
  if (known !== undefined) return known;
  const labels = method === null ? [protocol] : [protocol, methodWord, statusLabel(status)];
  labelLists.set(key, labels);
  return labels;
}
