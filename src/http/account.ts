// What operators see of each request: session details, the two HTTP meters, the request log. It holds no sockets and never logs payload.

import type { Deps, EndedRequest } from '../core/flow.ts';
import type { HttpDetails, Session } from '../core/session.ts';
import { methodLabel, statusLabel } from './methods.ts';

/** The HTTP details of a session, made on first use. */
export function httpDetails(session: Session): HttpDetails {
  session.details.http ??= { requests: 0, method: null, host: null, status: null, upgraded: null };
  return session.details.http;
}

/** A proxy's connection speaks HTTP to us: from its first request that is no CONNECT on. */
export function nameHttp(session: Session, deps: Deps): void {
  if (session.protocol === 'http') return;
  session.protocol = 'http';
  deps.protocolChanged(session);
  session.chain.push('http');
  deps.meter.observe('detect_seconds', [], (deps.clock() - session.startedAt) / millisecondsPerSecond);
}

/** Notes a request in the session as its head was accepted. */
export function noteRequest(details: HttpDetails, method: string, host: string | null, textBytesMax: number): void {
  details.requests += 1;
  details.method = method.length > textBytesMax ? method.slice(0, textBytesMax) : method;
  details.host = host !== null && host.length > textBytesMax ? host.slice(0, textBytesMax) : host;
  details.status = null;
}

/** Counts and logs a request that has ended; status 0 means that it was never answered. */
export function countRequest(session: Session, deps: Deps, ended: EndedRequest): void {
  const { method, status } = ended;
  const labels = labelsFor(session.protocol);
  const statusClass = statusLabel(status);
  let list = labels.lists.get(method + statusClass);
  if (list === undefined) {
    const word = methodLabel(method);
    list = [session.protocol, word, statusClass];
    if (word === method) labels.lists.set(method + statusClass, list);
  }
  deps.meter.add('http_requests_total', list);
  deps.meter.observe('http_request_seconds', labels.protocol, (deps.clock() - ended.startedAt) / millisecondsPerSecond);
  deps.requestLog?.write(session, ended);
}

const millisecondsPerSecond = 1000;

/** Label lists made once: of closed sets, so that the maps stay small. */
interface Labels {
  readonly protocol: readonly string[];
  readonly lists: Map<string, readonly string[]>;
}

const labelsByProtocol = new Map<string, Labels>();

function labelsFor(protocol: string): Labels {
  let labels = labelsByProtocol.get(protocol);
  if (labels === undefined) {
    labels = { protocol: [protocol], lists: new Map() };
    labelsByProtocol.set(protocol, labels);
  }
  return labels;
}
