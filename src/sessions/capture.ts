// Records what passes in the clear, for fault finding, on an operator's order: the client's side of the innermost layer of sessions that match a
// filter, into pcapng files, and TLS secrets into a key log. Off, it costs one call for each layer; it never changes a byte nor holds one up.

import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Flow, Recorder } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import { sessionFields } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import { protocolWords } from '../core/protocols.ts';
import { CaptureFiles } from './capture-files.ts';
import { FilterError, parseFilter } from './filter.ts';
import type { Filter } from './filter.ts';
import { captureHead, MadeConnection, packetBlock, secretsBlock } from './pcapng.ts';

/** What is to be recorded, and for how long. */
export interface CaptureOrder {
  /** Text of a filter (sessions/filter.ts); empty: everything. */
  readonly filter: string;
  readonly durationMs: number;
  /** Part of the files' names: when it was ordered. */
  readonly name: string;
}

/** An order that came from another process; null when it is none. */
export function readCaptureOrder(value: unknown): CaptureOrder | null {
  if (typeof value !== 'object' || value === null || !('filter' in value) || !('durationMs' in value) || !('name' in value)) return null;
  const { filter, durationMs, name } = value;
  return typeof filter === 'string' && typeof durationMs === 'number' && typeof name === 'string' ? { filter, durationMs, name } : null;
}

/** Figures that came from another process, those that are none left out. */
export function readCaptureFigures(value: unknown): CaptureFigures[] {
  return Array.isArray(value) ? value.filter(isFigures) : [];
}

function isFigures(value: unknown): value is CaptureFigures {
  return typeof value === 'object' && value !== null && 'running' in value && 'sessions' in value && 'packets' in value && 'bytes' in value && 'dropped' in value;
}

export interface CaptureFigures {
  readonly running: boolean;
  readonly sessions: number;
  readonly packets: number;
  readonly bytes: number;
  /** Packets that the disk could not take in time. */
  readonly dropped: number;
}

export interface CaptureOptions {
  /** Folder of captures, null when none may be made. */
  readonly folder: string | null;
  /** Key log file, null for none. */
  readonly keylog: string | null;
  readonly worker: string;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

interface Running {
  readonly filter: Filter;
  readonly files: CaptureFiles;
  readonly timer: NodeJS.Timeout;
  /** A handler that gave its layer back is followed by another on the same socket. */
  readonly recorded: WeakSet<Flow['client']>;
  sessions: number;
  packets: number;
}

/** A process's recorder. */
export class CaptureRecorder implements Recorder {
  readonly #options: CaptureOptions;
  readonly #keylog: WriteStream | null;
  #running: Running | null = null;
  /** Secrets of sessions that may yet be recorded; kept only while a capture runs. */
  #secrets = new WeakMap<Session, string[]>();
  #last: CaptureFigures = { running: false, sessions: 0, packets: 0, bytes: 0, dropped: 0 };

  constructor(options: CaptureOptions) {
    this.#options = options;
    this.#keylog = options.keylog === null ? null : createWriteStream(options.keylog, { flags: 'a', mode: 0o600 });
    this.#keylog?.on('error', (error) => options.log.error({ err: error, path: options.keylog }, 'the key log cannot be written'));
  }

  secrets(session: Session): ((line: Buffer) => void) | null {
    if (this.#keylog === null && this.#running === null) return null;
    return (line) => {
      this.#toKeylog(line);
      if (this.#running !== null) this.#keep(session, line);
    };
  }

  layer(flow: Flow): void {
    const running = this.#running;
    if (running === null || running.recorded.has(flow.client) || !running.filter.matches(flow.session, this.#options.clock())) return;
    running.recorded.add(flow.client);
    running.sessions += 1;
    this.#options.log.info(sessionFields(flow.session), 'the session is recorded');
    new Recording(flow, this.#secrets.get(flow.session) ?? [], running.files, () => {
      running.packets += 1;
    });
  }

  watches(flow: Flow): boolean {
    return this.#running?.recorded.has(flow.client) === true;
  }

  /** Begins a capture in place of the one before it. Rejects when no folder is set, the filter is wrong or the files cannot be made. */
  async start({ filter, durationMs, name }: CaptureOrder): Promise<void> {
    const { folder, worker, limits, meter, log } = this.#options;
    if (folder === null) throw new Error('capture.pcap is off');
    const parsed = parseFilter(filter);
    if (parsed instanceof FilterError) throw parsed;
    await this.stop();
    const files = await CaptureFiles.start({ folder, name: `${name}-${worker}`, head: captureHead('Sallyport'), limits, meter, log });
    const timer = setTimeout(() => {
      log.warn({ filter }, 'audit: the decrypted capture has ended by its time');
      void this.stop();
    }, Math.min(durationMs, limits.captureMs)).unref();
    this.#running = { filter: parsed, files, timer, recorded: new WeakSet(), sessions: 0, packets: 0 };
  }

  /** Ends the capture; sessions that were recorded go on unrecorded. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#last = { ...this.figures(), running: false };
    this.#running = null;
    this.#secrets = new WeakMap();
    clearTimeout(running.timer);
    await running.files.close();
  }

  /** Figures of the capture that runs, or of the last one. */
  figures(): CaptureFigures {
    const running = this.#running;
    if (running === null) return this.#last;
    const { sessions, packets, files } = running;
    return { running: true, sessions, packets, bytes: files.bytes, dropped: files.dropped };
  }

  async close(): Promise<void> {
    await this.stop();
    const keylog = this.#keylog;
    if (keylog !== null && !keylog.errored) await new Promise<void>((resolve) => keylog.end(() => resolve()));
  }

  #toKeylog(line: Buffer): void {
    const keylog = this.#keylog;
    if (keylog === null || keylog.errored !== null) return;
    if (keylog.writableLength > this.#options.limits.captureQueueBytesMax) this.#options.meter.add('limits_hit_total', ['captureQueueBytesMax']);
    // One write for each line: those of several workers do not mix.
    else keylog.write(line);
  }

  #keep(session: Session, line: Buffer): void {
    const lines = this.#secrets.get(session) ?? [];
    if (lines.length < secretsMax) lines.push(line.toString('latin1'));
    this.#secrets.set(session, lines);
  }
}

/** Lines of one session: five for each TLS 1.3 handshake, and updates of keys. */
const secretsMax = 64;

/** Ports under which Wireshark looks for a protocol in the clear, by group. */
const plainPorts = [['http-any', 80], ['sip-any', 5060], ['turn-any', 3478]] as const;

/** One layer of one session: what its client says and hears, as packets of a made-up connection. */
class Recording {
  readonly #connection: MadeConnection;
  readonly #files: CaptureFiles;
  readonly #secrets: readonly string[];
  readonly #note: () => void;
  /** Generation of the file that has the secrets. */
  #secretsIn = -1;

  constructor({ session, client }: Flow, secrets: readonly string[], files: CaptureFiles, note: () => void) {
    this.#files = files;
    this.#secrets = secrets;
    this.#note = note;
    const { destination: { ip, port } } = session;
    this.#connection = new MadeConnection(session.client, { ip: ip ?? '0.0.0.0', port: plainPort(session) ?? port });
    this.#put(this.#connection.open(), commentOf(session));
    // What detection has read is back in the buffer by now and will not come by again.
    const waiting: unknown = client.readableLength > 0 ? client.read() : null;
    if (Buffer.isBuffer(waiting)) {
      this.#put(this.#connection.data('client', waiting));
      client.unshift(waiting);
    }
    this.#watch(client);
  }

  /** Node 24: every byte read goes through `push`, every byte written through `_write` or `_writev` of the socket itself. What takes the handle (node:http2) asks `watches` and stays with the stream. */
  #watch(client: Socket | TLSSocket): void {
    const push = client.push.bind(client);
    const write = client._write.bind(client);
    const writev = client._writev?.bind(client);
    client.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (Buffer.isBuffer(chunk)) this.#put(this.#connection.data('client', chunk));
      return push(chunk, encoding);
    };
    client._write = (chunk: unknown, encoding, done) => {
      this.#heard(chunk, encoding);
      write(chunk, encoding, done);
    };
    if (writev !== undefined) {
      client._writev = (chunks: { chunk: unknown; encoding: BufferEncoding }[], done) => {
        for (const { chunk, encoding } of chunks) this.#heard(chunk, encoding);
        writev(chunks, done);
      };
    }
    client.once('close', () => this.#put(this.#connection.close()));
  }

  #heard(chunk: unknown, encoding: BufferEncoding): void {
    if (Buffer.isBuffer(chunk)) this.#put(this.#connection.data('server', chunk));
    else if (typeof chunk === 'string') this.#put(this.#connection.data('server', Buffer.from(chunk, encoding)));
  }

  #put(packets: readonly Buffer[][], comment: string | null = null): void {
    const now = performance.timeOrigin + performance.now();
    const blocks = packets.map((packet, index) => packetBlock(now, packet, index === 0 ? comment : null));
    const { generation } = this.#files;
    if (this.#secretsIn !== generation && this.#secrets.length > 0) {
      this.#secretsIn = generation;
      blocks.unshift(secretsBlock(this.#secrets.join('')));
    }
    for (const _packet of packets) this.#note();
    this.#files.write(blocks);
  }
}

function plainPort({ protocol }: Session): number | null {
  return plainPorts.find(([group]) => protocolWords.get(group)?.includes(protocol) === true)?.[1] ?? null;
}

/** Names, never payload: where the session really went. */
function commentOf({ id, protocol, chain, sni, destination: { ip, host, port } }: Session): string {
  return `session ${id}, ${protocol} (${chain.toReversed().join(' in ')}), server ${sni ?? host ?? ip ?? 'unknown'} ${ip ?? ''} port ${String(port)}`;
}
