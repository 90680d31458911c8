// From an accepted socket to a closed session: admission, destination, the session's row, conduct, and the end of the sockets.
// The only place that turns a flow's outcome into a session's end.

import type { Socket } from 'node:net';
import { errorTable, FlowError, toFlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Entry, Flow } from '../core/flow.ts';
import type { ByteCounts, Destination, Endpoint, Session } from '../core/session.ts';
import { sessionFields } from '../core/log.ts';
import { resetSocket } from '../core/reset.ts';
import { endGently } from '../http/closing.ts';
import type { Admission } from '../listener/admission.ts';
import { originalDestination } from '../listener/original-dst.ts';
import type { UserMap } from '../listener/user-map.ts';
import type { ProxySenders } from '../listener/proxy-protocol.ts';
import { takeProxyHeader } from '../listener/proxy-protocol.ts';
import type { ProxyHeader } from '../listener/proxy-protocol-wire.ts';
import type { LiveSession, SessionTable } from '../sessions/table.ts';
import { conduct } from './conduct.ts';
import type { ConductDeps } from './conduct.ts';

/** One service as flows see it. */
export interface Service {
  readonly name: string;
  readonly deps: ConductDeps;
  readonly admission: Admission;
  readonly table: SessionTable;
  /** How the destination is known: from the kernel, fixed, or said by the client in the entry protocol. */
  readonly destination: 'redirect' | 'tproxy' | Destination | Entry;
  /** Who sits at an address, where the config says; absent: nobody is known. */
  readonly users?: Pick<UserMap, 'userOf'>;
  /** Who begins connections with a PROXY protocol header; absent: nobody. */
  readonly proxySenders?: ProxySenders;
}

/** Sockets and verdict of a live session, for its row in the table. */
class Live implements LiveSession {
  readonly #raw: Socket;
  /** Connections opened for the session, latest last; those that are closed are forgotten when another is opened. */
  #upstreams: Socket[] = [];
  killed: ErrorCode | null = null;

  constructor(raw: Socket) {
    this.#raw = raw;
  }

  /** A connection to the server was opened; the latest counts. */
  dialled(upstream: Socket): void {
    this.#upstreams = [...this.#upstreams.filter((known) => !known.destroyed), upstream];
    if (this.killed !== null) upstream.destroy();
  }

  bytes(): ByteCounts {
    const raw = this.#raw;
    const upstream = this.#upstreams.at(-1);
    return {
      fromClient: raw.bytesRead, toClient: raw.bytesWritten,
      fromUpstream: upstream?.bytesRead ?? 0, toUpstream: upstream?.bytesWritten ?? 0,
    };
  }

  /** The flow has ended: whatever its last words were, they have `withinMs` to leave, then no socket of it is open. */
  leave(withinMs: number): void {
    for (const socket of [this.#raw, ...this.#upstreams]) if (!socket.destroyed) destroyLater(socket, withinMs);
  }

  kill(code: ErrorCode = 'KILLED_BY_OPERATOR'): void {
    this.killed ??= code;
    this.#raw.destroy();
    for (const upstream of this.#upstreams) upstream.destroy();
  }
}

/** Bounded by admission (sessionsMax). */
const lives = new Map<Session, Live>();

/** Ends every live session of this process with SHUTDOWN. */
export function shutDownAll(): void {
  for (const live of lives.values()) live.kill('SHUTDOWN');
}

/** To be told of every connection that was opened for a session, so that its bytes count and kill reaches it. */
export function noteDialled(session: Session, upstream: Socket): void {
  lives.get(session)?.dialled(upstream);
}

/** Serves one accepted connection to its end. Never rejects. */
export async function serve(raw: Socket, service: Service): Promise<void> {
  // A socket's errors are handled where it is read; this listener only keeps late ones from being uncaught.
  raw.on('error', () => {});
  const peer = { ip: plainIp(raw.remoteAddress ?? ''), port: raw.remotePort ?? 0 };
  if (peer.ip === '') return void raw.destroy();
  const live = new Live(raw);
  const header = service.proxySenders?.has(peer.ip) === true ? await headerOf(raw, service) : null;
  const broken = header instanceof FlowError ? header : null;
  const told = header instanceof FlowError ? null : header;
  const client = told?.source ?? peer;
  const admitted = broken === null ? service.admission.admit(client.ip) : null;
  const refusal = broken ?? refused(service, admitted instanceof Promise ? await admitted : admitted);
  const session = service.table.open({ service: service.name, client, destination: destinationOf(raw, service, told), user: service.users?.userOf(client.ip) ?? null }, live);
  lives.set(session, live);
  if (refusal !== null) {
    end(raw, session, service, refusal);
    return;
  }
  let error: FlowError | null = null;
  try {
    await run(raw, session, service);
    service.deps.noteAccepted(session);
  } catch (caught) {
    error = live.killed === null ? toFlowError(caught) : new FlowError(live.killed);
  } finally {
    service.admission.release(client.ip);
    service.deps.dropEarly(session);
  }
  end(raw, session, service, error);
}

function headerOf(raw: Socket, { deps }: Service): Promise<ProxyHeader | FlowError> {
  return takeProxyHeader(raw, deps.limits).catch(toFlowError);
}

function refused({ deps }: Service, refusal: ErrorCode | null): FlowError | null {
  if (refusal === null) return null;
  deps.meter.add('limits_hit_total', [refusal === 'SESSIONS_FULL' ? 'sessionsMax' : 'sessionsPerClientMax']);
  return new FlowError(refusal);
}

async function run(raw: Socket, session: Session, { destination, deps }: Service): Promise<void> {
  const flow: Flow = { session, raw, client: raw, upstream: null, depth: 0, insideTls: false, repliedBytes: 0 };
  if (typeof destination === 'object' && 'enter' in destination) {
    const inner = await destination.enter(flow, deps);
    // Not awaited, here and below: a frame less that is kept for as long as the flow lives.
    return inner === 'done' ? undefined : conduct(inner, deps);
  }
  if (session.destination.ip === null && session.destination.host === null) throw new FlowError('NO_ORIGINAL_DST');
  return conduct(flow, deps);
}

/** What a listed sender says of a transparent client's destination is nearer to the truth than what the kernel saw of the sender. */
function destinationOf(raw: Socket, { destination }: Service, told: ProxyHeader | null): Destination {
  if (told !== null && told.destination !== null && typeof destination === 'string') return asDestination(told.destination);
  if (destination === 'redirect') return asDestination(originalDestination(raw));
  if (destination === 'tproxy') return asDestination({ ip: plainIp(raw.localAddress ?? ''), port: raw.localPort ?? 0 });
  if ('enter' in destination) return { ip: null, port: 0, host: null };
  return { ...destination };
}

function asDestination(endpoint: Endpoint | null): Destination {
  return endpoint === null || endpoint.ip === '' ? { ip: null, port: 0, host: null } : { ip: endpoint.ip, port: endpoint.port, host: null };
}

function end(raw: Socket, session: Session, { deps, table }: Service, error: FlowError | null): void {
  if (error !== null) {
    if (error.code === 'INTERNAL') {
      deps.meter.add('internal_errors_total');
      deps.log.error({ ...sessionFields(session), err: error.cause ?? error }, 'defect');
    } else deps.log.debug({ ...sessionFields(session), code: error.code, detail: error.detail }, errorTable[error.code].text);
    if (error.code === 'CLIENT_REJECTED_CERT' || error.code === 'CLIENT_LEFT_SILENTLY') deps.noteRefusal(session, error.code);
    lastWords(raw, session, error, deps.limits.lingerMs);
  }
  lives.get(session)?.leave(error === null ? deps.limits.halfOpenMs : deps.limits.lingerMs);
  lives.delete(session);
  table.close(session, error?.code ?? null, error?.detail ?? null);
}

/** A client that was told nothing is reset; what was written for it still leaves. A TLS client is ended by whoever opened it. */
function lastWords(raw: Socket, session: Session, error: FlowError, lingerMs: number): void {
  if (raw.destroyed || session.tls.client !== null) return;
  if (raw.bytesWritten === 0 && error.code !== 'CLIENT_CLOSED_EARLY') resetSocket(raw);
  // A flowing socket is being ended by the relay or the handler already.
  else if (raw.readableFlowing !== true) void endGently(raw, lingerMs);
}

function destroyLater(socket: Socket, withinMs: number): void {
  const timer = setTimeout(() => socket.destroy(), withinMs).unref();
  socket.once('close', () => clearTimeout(timer));
}

/** IPv4 addresses on dual-stack listeners come mapped into IPv6. */
function plainIp(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}
