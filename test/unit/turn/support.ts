// What the TURN tests share: the libnice capture as connections, sessions, dependencies with a real meter, and messages.

import { readFileSync } from 'node:fs';
import type { Deps } from '../../../src/core/flow.ts';
import type { Session } from '../../../src/core/session.ts';
import type { RequestVerdict, TurnFacts } from '../../../src/core/verdicts.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { Meter } from '../../../src/core/meters.ts';

export interface CaptureSection {
  readonly title: string;
  /** Chunks as they were on the wire, in order. */
  readonly chunks: readonly { readonly from: 'client' | 'server'; readonly bytes: Buffer; readonly label: string }[];
  /** The notes beside the client's messages: type, length, transaction and attributes. */
  readonly notes: readonly { readonly type: number; readonly length: number; readonly transaction: string; readonly attributes: readonly string[] }[];
}

/** Password behind the capture's user `lync-user-binary`; its MESSAGE-INTEGRITY values prove it. */
export const captureLogin = { user: 'lync-user-binary', password: 'lync-pass-binary' };

/** test/data/ms-turn-capture.txt: libnice 0.1.21 in OC2007R2 mode against a server that speaks MS-TURN. */
export function captureSections(): readonly CaptureSection[] {
  const text = readFileSync(new URL('../../data/ms-turn-capture.txt', import.meta.url), 'utf8');
  return text.split(/^#{8} /m).slice(1).map(section);
}

function section(text: string): CaptureSection {
  const lines = text.split('\n');
  const chunks: { from: 'client' | 'server'; bytes: Buffer; label: string }[] = [];
  const notes: { type: number; length: number; transaction: string; attributes: string[] }[] = [];
  for (const [index, line] of lines.entries()) {
    const hex = lines[index + 1]?.trim() ?? '';
    if (/\] (?:C>S|S>C) /.test(line) && /^[0-9a-f]+$/.test(hex)) {
      chunks.push({ from: line.includes('C>S') ? 'client' : 'server', bytes: Buffer.from(hex, 'hex'), label: line });
    }
    const note = /msg type 0x([0-9a-f]{4}) len (\d+) tid ([0-9a-f]{32})/.exec(line);
    if (note !== null) notes.push({ type: Number.parseInt(note[1] ?? '', 16), length: Number(note[2]), transaction: note[3] ?? '', attributes: [] });
    const attribute = /^ {6}0x([0-9a-f]{4}) \S+ len (\d+) ([0-9a-f]+)/.exec(line);
    if (attribute !== null) notes.at(-1)?.attributes.push(`${attribute[1]} ${attribute[2]} ${attribute[3]}`);
  }
  return { title: lines[0] ?? '', chunks, notes };
}

/** All bytes of one direction of a section. */
export function streamOf({ chunks }: CaptureSection, from: 'client' | 'server'): Buffer {
  return Buffer.concat(chunks.filter((chunk) => chunk.from === from).map((chunk) => chunk.bytes));
}

export function turnSession(protocol: Session['protocol'] = 'ms-turn'): Session {
  return {
    id: '1', service: 'https', client: { ip: '10.0.0.2', port: 40_000 }, destination: { ip: '192.0.2.1', port: 443, host: null },
    startedAt: 0, endedAt: null, state: 'active', sni: null, alpn: [], ja3: null, ja4: null, user: null, protocol, chain: [protocol],
    action: 'handoff', tunnelledOnError: null, rule: null, error: null, errorDetail: null, note: null,
    bytes: { fromClient: 0, toClient: 0, fromUpstream: 0, toUpstream: 0 }, tls: { client: null, upstream: null, leaf: null }, details: {},
  };
}

/** Adds up what is counted, by name and labels. */
export class Tally implements Meter {
  readonly values = new Map<string, number>();

  add(name: string, labels: readonly string[] = [], step = 1): void {
    const key = [name, ...labels].join(' ');
    this.values.set(key, (this.values.get(key) ?? 0) + step);
  }

  set(name: string, labels: readonly string[], value: number): void {
    this.values.set([name, ...labels].join(' '), value);
  }

  observe(): void {}
}

export interface TestDepsOptions {
  /** The `turn` stage: what it denies; absent: the stage has no rules. */
  readonly denies?: (facts: TurnFacts) => boolean | number;
  readonly limits?: Partial<Record<LimitName, number>>;
  readonly dial?: Deps['dial'];
  readonly meter?: Meter;
  readonly clock?: () => number;
}

/** Dependencies of a handler. The parts that TURN never touches reject when they are. */
export function turnDeps(options: TestDepsOptions = {}): Deps {
  const none = (what: string) => (): never => {
    throw new Error(`${what} is not TURN's business`);
  };
  const verdict = (facts: TurnFacts): RequestVerdict => {
    const denied = options.denies?.(facts) ?? false;
    return { action: denied === false ? 'allow' : 'deny', rule: 'turn/test', status: typeof denied === 'number' ? denied : null };
  };
  return {
    limits: limitsWith(options.limits),
    policy: {
      connection: none('connection'), ssl: none('ssl'), certificate: none('certificate'), protocol: none('protocol'), http: none('http'), sip: none('sip'),
      turn: (_session, facts) => verdict(facts), has: (stage) => stage === 'turn' && options.denies !== undefined,
    },
    trust: { minVersion: 'TLSv1.2', roots: [] },
    protocolChanged: none('protocolChanged'),
    meter: options.meter ?? new Tally(),
    log: silentLogger,
    clock: options.clock ?? Date.now,
    dial: options.dial ?? none('dial'),
    certFor: none('certFor'),
    revocation: { isHost: none('isHost'), answer: none('answer') },
    noteRefusal: none('noteRefusal'),
    noteAccepted: none('noteAccepted'),
  };
}

/** A small seeded generator (mulberry32), so that a failing case can be run again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
