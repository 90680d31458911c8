// The table of sessions of one process: live ones, and the last closed ones in a ring. It opens and closes sessions,
// moves their meters and writes their access log line. It never holds a socket, only the two calls of LiveSession.

import type { Action, ByteCounts, Destination, Endpoint, Session } from '../core/session.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { compareIds, SessionIds } from './ids.ts';
import { Rates } from './rates.ts';

/** What the table may ask of a live session's sockets. */
export interface LiveSession {
  /** Bytes so far, read off the sockets. */
  bytes(): ByteCounts;
  /** Ends the session; its flow then closes it with KILLED_BY_OPERATOR. */
  kill(): void;
}

/** What is known of a session when it begins. */
export interface SessionInit {
  readonly service: string;
  readonly client: Endpoint;
  readonly destination: Destination;
  readonly chain?: readonly string[];
  readonly user?: string | null;
  readonly sni?: string | null;
  readonly protocol?: ProtocolName;
}

/** Where a closed session's line goes. */
export interface SessionLog {
  write(session: Session): void;
}

export interface SessionTableOptions {
  /** Name of this process in ids: lower-case letters and digits, another for each worker. */
  readonly worker: string;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly accessLog?: SessionLog | null;
  /** Where closed sessions are kept over a restart. */
  readonly history?: SessionLog | null;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

/** A row of the table. `revision` grows with every change; `shape` is what filters can see, kept only while streams watch. */
export interface SessionEntry {
  readonly session: Session;
  live: LiveSession | null;
  /** The protocol under which sessions_active counts it. */
  counted: ProtocolName;
  revision: number;
  shapeRevision: number;
  seenBytes: number;
  seenShape: string;
}

const noNames: readonly string[] = Object.freeze([]);
/** Labels of session_bytes_total: the fields of ByteCounts. */
const directions = ['fromClient', 'toClient', 'fromUpstream', 'toUpstream'] as const;

/** The sessions of one process. Bounded: live ones by admission (sessionsMax), closed ones by sessionsClosedMax. */
export class SessionTable {
  /** Tells this table from the one before a restart, in marks of live streams. */
  readonly origin: string;
  readonly clock: () => number;
  readonly #ids: SessionIds;
  readonly #limits: Limits;
  readonly #meter: Meter;
  readonly #accessLog: SessionLog | null;
  readonly #history: SessionLog | null;
  readonly #rates = new Rates();
  /** All rows in order of opening, which is the order of their ids. */
  readonly #entries = new Map<string, SessionEntry>();
  /** Ids of closed rows in order of closing, written round and round. */
  readonly #closed: string[] = [];
  #closedNext = 0;
  #active = 0;
  #revision = 0;
  #sweptMs = 0;

  constructor(options: SessionTableOptions) {
    this.clock = options.clock ?? Date.now;
    this.origin = `${options.worker}.${this.clock().toString(36)}`;
    this.#ids = new SessionIds(options.worker, this.clock);
    this.#limits = options.limits;
    this.#meter = options.meter;
    this.#accessLog = options.accessLog ?? null;
    this.#history = options.history ?? null;
  }

  /** Sessions now. */
  get active(): number {
    return this.#active;
  }

  /** Number of the last change. */
  get revision(): number {
    return this.#revision;
  }

  /** Makes a session visible. Its protocol is `pending` until told otherwise. */
  open(init: SessionInit, live: LiveSession): Session {
    const session = newSession(this.#ids.next(), init, this.clock());
    this.#revision += 1;
    this.#entries.set(session.id, {
      session, live, counted: session.protocol, revision: this.#revision, shapeRevision: this.#revision, seenBytes: 0, seenShape: '',
    });
    this.#active += 1;
    this.#meter.add('sessions_active', [session.service, session.protocol]);
    return session;
  }

  /** To be called after `session.protocol` changed, so that sessions_active and live streams follow. */
  protocolChanged(session: Session): void {
    const entry = this.#entries.get(session.id);
    if (entry === undefined || entry.live === null || entry.counted === session.protocol) return;
    this.#meter.add('sessions_active', [session.service, entry.counted], -1);
    entry.counted = session.protocol;
    this.#meter.add('sessions_active', [session.service, session.protocol]);
    this.#touch(entry);
  }

  /** Ends a session: final bytes, meters, access log; the row stays until the ring has gone round. A second call does nothing. */
  close(session: Session, error: ErrorCode | null, detail: string | null = null): void {
    const entry = this.#entries.get(session.id);
    if (entry === undefined || entry.live === null) return;
    Object.assign(session.bytes, entry.live.bytes());
    entry.live = null;
    this.#active -= 1;
    session.endedAt = this.clock();
    session.state = error === null ? 'closed' : 'errored';
    session.error = error;
    session.errorDetail = detail;
    this.#touch(entry);
    this.#count(session, entry.counted);
    this.#accessLog?.write(session);
    this.#history?.write(session);
    this.#keep(session.id);
  }

  /** Shows closed sessions of processes that are gone; they move no meter and are logged no more. The newest are kept. */
  restore(sessions: readonly Session[]): void {
    for (const session of sessions) {
      if (this.#entries.has(session.id)) continue;
      this.#revision += 1;
      this.#entries.set(session.id, {
        session, live: null, counted: session.protocol, revision: this.#revision, shapeRevision: this.#revision, seenBytes: 0, seenShape: '',
      });
    }
    const ordered = [...this.#entries].sort(([left], [right]) => compareIds(left, right));
    const closed = ordered.filter(([, { live }]) => live === null).map(([id]) => id);
    const max = this.#limits.sessionsClosedMax;
    const evicted = new Set(closed.slice(0, Math.max(0, closed.length - max)));
    this.#entries.clear();
    for (const [id, entry] of ordered) if (!evicted.has(id)) this.#entries.set(id, entry);
    this.#closed.splice(0, this.#closed.length, ...closed.filter((id) => !evicted.has(id)));
    this.#closedNext = max === 0 ? 0 : this.#closed.length % max;
  }

  /** The session, with its bytes of now. */
  find(id: string): Session | null {
    const entry = this.#entries.get(id);
    return entry === undefined ? null : current(entry);
  }

  /** Ends a live session. False when there is none of this id. */
  kill(id: string): boolean {
    const live = this.#entries.get(id)?.live ?? null;
    live?.kill();
    return live !== null;
  }

  /** All rows, oldest first. */
  entries(): IterableIterator<SessionEntry> {
    return this.#entries.values();
  }

  /** Sessions that ended per second, of late. */
  rates(): ReturnType<Rates['read']> {
    return this.#rates.read(this.clock());
  }

  /**
   * Looks at every live session for bytes moved and facts learned since the last look, and numbers those changes.
   * Costs a call per live session, so it runs at most twice per streamPollMs and only while somebody watches.
   */
  sweep(): void {
    const nowMs = this.clock();
    if (nowMs - this.#sweptMs < this.#limits.streamPollMs / 2 && nowMs >= this.#sweptMs) return;
    this.#sweptMs = nowMs;
    for (const entry of this.#entries.values()) {
      if (entry.live === null) continue;
      const moved = movedBytes(current(entry));
      const shape = shapeOf(entry.session);
      if (shape !== entry.seenShape) this.#touch(entry);
      else if (moved !== entry.seenBytes) entry.revision = this.#revision += 1;
      entry.seenBytes = moved;
      entry.seenShape = shape;
    }
  }

  /** Notes what a live row shows as it is told for the first time, so that the next sweep does not take it for a change. */
  told(entry: SessionEntry): void {
    if (entry.live === null || entry.seenShape !== '') return;
    entry.seenBytes = movedBytes(entry.session);
    entry.seenShape = shapeOf(entry.session);
  }

  #touch(entry: SessionEntry): void {
    this.#revision += 1;
    entry.revision = this.#revision;
    entry.shapeRevision = this.#revision;
  }

  #count(session: Session, counted: ProtocolName): void {
    const { service, protocol, bytes } = session;
    this.#meter.add('sessions_active', [service, counted], -1);
    this.#meter.add('sessions_total', [service, protocol, session.action ?? '', session.error ?? '']);
    let moved = 0;
    for (const direction of directions) {
      moved += bytes[direction];
      if (bytes[direction] > 0) this.#meter.add('session_bytes_total', [protocol, direction], bytes[direction]);
    }
    const endedAt = session.endedAt ?? session.startedAt;
    this.#meter.observe('session_duration_seconds', [protocol], Math.max(0, endedAt - session.startedAt) / 1000);
    this.#rates.add(endedAt, protocol, session.action, session.error, moved);
  }

  #keep(id: string): void {
    const max = this.#limits.sessionsClosedMax;
    if (max === 0) {
      this.#entries.delete(id);
      return;
    }
    const evicted = this.#closed[this.#closedNext];
    if (evicted !== undefined) this.#entries.delete(evicted);
    this.#closed[this.#closedNext] = id;
    this.#closedNext = (this.#closedNext + 1) % max;
  }
}

/** The session of a row, its bytes pulled from the sockets while it lives. */
export function current(entry: SessionEntry): Session {
  if (entry.live !== null) Object.assign(entry.session.bytes, entry.live.bytes());
  return entry.session;
}

function newSession(id: string, init: SessionInit, startedAt: number): Session {
  return {
    id,
    service: init.service,
    client: init.client,
    destination: init.destination,
    startedAt,
    endedAt: null,
    state: 'active',
    sni: init.sni ?? null,
    alpn: noNames,
    ja3: null,
    ja4: null,
    user: init.user ?? null,
    protocol: init.protocol ?? 'pending',
    chain: init.chain === undefined ? [] : [...init.chain],
    action: null,
    tunnelledOnError: null,
    rule: null,
    error: null,
    errorDetail: null,
    note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 },
    tls: { client: null, upstream: null, leaf: null },
    details: {},
  };
}

function movedBytes({ bytes }: Session): number {
  return bytes.fromClient + bytes.toClient + bytes.fromUpstream + bytes.toUpstream;
}

/** Every field a filter can ask for that may change in a session's life. */
function shapeOf(session: Session): string {
  const action: Action | '' = session.action ?? '';
  return `${session.protocol}|${action}|${session.tunnelledOnError ?? ''}|${session.rule ?? ''}|${session.user ?? ''}|${session.sni ?? ''}|${session.destination.ip ?? ''}|${session.destination.host ?? ''}`;
}
