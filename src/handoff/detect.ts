// Tells what one layer of a flow speaks: shows first bytes of whichever side speaks first to each row of the table, in order,
// until one knows, none can, or the wait is over. It decides nothing and leaves every byte where it was.

import type { Duplex } from 'node:stream';
import { FlowError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Detect, Side } from '../core/flow.ts';
import type { DetectSwitches } from '../core/verdicts.ts';
import type { Limits } from '../core/limits.ts';
import { detectedNames, shownName } from '../core/protocols.ts';
import type { DetectedName } from '../core/protocols.ts';
import { Peek } from '../listener/peek.ts';

/** The outcome: a row with its facts, a suspect of a row, or no row with the reason. */
export interface Detection {
  readonly row: DetectedName | null;
  /** The bytes look like the row, but only the server's answer can tell. */
  readonly suspect: boolean;
  readonly facts: unknown;
  /** Which side's bytes decided, null when none did. */
  readonly from: Side | null;
  /** Why no row was found: null where bytes were judged and nothing known. */
  readonly stalled: ErrorCode | null;
  /** The client's first bytes as seen; they are still in its stream. */
  readonly bytes: Buffer;
}

export interface DetectOptions {
  readonly detectors: Readonly<Record<DetectedName, { readonly detect: Detect }>>;
  readonly switches: DetectSwitches;
  readonly insideTls: boolean;
  readonly limits: Limits;
  /** Called once after detectRaceMs of silence (at once for `raceNow`); its stream is listened to as well. Null where upstream is there. */
  readonly dialEarly: (() => Promise<Duplex>) | null;
  readonly raceNow: boolean;
}

/**
 * Rejects with CLIENT_CLOSED_EARLY (no byte and a FIN), RESET_BY_CLIENT, RESET_BY_UPSTREAM, IDLE_TIMEOUT (inside a layer whose both
 * ends are silent), or what `dialEarly` rejects with.
 */
export function detect(client: Duplex, upstream: Duplex | null, options: DetectOptions): Promise<Detection> {
  return new Promise((resolve, reject) => new Detecting(client, upstream, options, resolve, reject).start());
}

class Detecting {
  readonly #options: DetectOptions;
  readonly #resolve: (detection: Detection) => void;
  readonly #reject: (error: FlowError) => void;
  readonly #rows: readonly DetectedName[];
  readonly #bytesMax: number;
  readonly #client: Peek;
  #upstream: Peek | null = null;
  #settled = false;
  #timer: NodeJS.Timeout | null = null;
  #race: NodeJS.Timeout | null = null;
  /** A byte has come, so `#timer` is the detection limit, no longer the one of silence. */
  #spoken = false;

  constructor(
    client: Duplex, upstream: Duplex | null, options: DetectOptions,
    resolve: (detection: Detection) => void, reject: (error: FlowError) => void,
  ) {
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#rows = detectedNames.filter((row) => isOn(row, options));
    this.#bytesMax = Math.max(options.limits.peekBytesMax, options.limits.helloBytesMax);
    this.#client = new Peek(client, this.#judge, this.#bytesMax, false);
    if (upstream !== null) this.#upstream = new Peek(upstream, this.#judge, this.#bytesMax, false);
  }

  start(): void {
    this.#judge();
    if (this.#settled) return;
    // Node 24 tells of a handshake's end before it hands on what came with the handshake's last bytes: most clients' first request.
    if (this.#options.insideTls) setImmediate(this.#lookAgain);
    else this.#wait();
  }

  readonly #lookAgain = (): void => {
    this.#client.look();
    this.#upstream?.look();
    this.#judge();
    if (!this.#settled) this.#wait();
  };

  #wait(): void {
    const { limits, dialEarly, raceNow } = this.#options;
    this.#client.watch();
    this.#upstream?.watch();
    if (dialEarly !== null && !this.#spoken) {
      if (raceNow) this.#dial(dialEarly);
      else this.#race = setTimeout(() => this.#dial(dialEarly), limits.detectRaceMs);
    }
    // Inside an opened layer nobody is kept waiting by our silence, so only the relay's own idle limit applies.
    if (!this.#spoken) this.#timer = setTimeout(this.#onSilence, this.#upstream === null ? limits.detectSilenceMs : limits.relayIdleMs);
  }

  readonly #judge = (): void => {
    if (this.#settled) return;
    const client = this.#client;
    const upstream = this.#upstream;
    if (client.error !== null) return this.#fail(asFlowError(client.error, 'RESET_BY_CLIENT'));
    if (upstream !== null && upstream.error !== null) return this.#fail(asFlowError(upstream.error, 'RESET_BY_UPSTREAM'));
    if (client.bytes.length > 0) return this.#ask(client, 'client');
    if (upstream !== null && upstream.bytes.length > 0) return this.#ask(upstream, 'upstream');
    if (client.ended) return this.#fail(new FlowError('CLIENT_CLOSED_EARLY'));
    if (upstream?.ended === true) return this.#none(null, null);
  };

  #ask(peek: Peek, from: Side): void {
    let undecided = false;
    for (const row of this.#rows) {
      const found = this.#options.detectors[row].detect(peek.bytes, from, this.#options.limits);
      if (found === 'no') continue;
      if (found === 'more') {
        // Rows are asked in order: a later one may not win while an earlier one still could.
        undecided = true;
        break;
      }
      const suspect = found === 'suspect';
      return this.#done({ row, suspect, facts: suspect ? null : found.facts, from, stalled: null, bytes: peek.bytes });
    }
    const full = peek.bytes.length >= this.#bytesMax;
    if (!undecided || peek.ended || full) return this.#none(from, null);
    if (this.#spoken) return;
    this.#spoken = true;
    this.#clearTimers();
    this.#timer = setTimeout(() => this.#none(from, 'FIRST_BYTES_STALLED'), this.#options.limits.detectMs);
  }

  readonly #onSilence = (): void => {
    if (this.#options.dialEarly === null) this.#fail(new FlowError('IDLE_TIMEOUT', 'neither side spoke'));
    else this.#none(null, 'FIRST_BYTES_STALLED');
  };

  #dial(dialEarly: () => Promise<Duplex>): void {
    void dialEarly().then(
      (stream) => {
        if (!this.#settled) {
          this.#upstream = new Peek(stream, this.#judge, this.#bytesMax);
          this.#judge();
        }
      },
      (error: unknown) => this.#fail(error instanceof FlowError ? error : new FlowError('INTERNAL', null, error)),
    );
  }

  #none(from: Side | null, stalled: ErrorCode | null): void {
    this.#done({ row: null, suspect: false, facts: null, from, stalled, bytes: this.#client.bytes });
  }

  #done(detection: Detection): void {
    if (this.#settle()) this.#resolve(detection);
  }

  #fail(error: FlowError): void {
    if (this.#settle()) this.#reject(error);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#clearTimers();
    this.#client.release();
    this.#upstream?.release();
    return true;
  }

  #clearTimers(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#race !== null) clearTimeout(this.#race);
  }
}

function isOn(row: DetectedName, { switches, insideTls }: DetectOptions): boolean {
  return !switches.off.has(shownName(row, insideTls));
}

function asFlowError(error: Error, code: ErrorCode): FlowError {
  return error instanceof FlowError ? error : new FlowError(code, null, error);
}
