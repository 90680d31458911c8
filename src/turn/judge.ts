// Judges TURN control messages by the policy's `turn` stage and words the refusal in the message's dialect and framing.
// It is made only where the stage has rules; it never lets a message pass that rules about peers cannot see into.

import type { Session } from '../core/session.ts';
import type { Policy } from '../core/verdicts.ts';
import type { Limits } from '../core/limits.ts';
import type { Meter } from '../core/meters.ts';
import { peersOf } from './addresses.ts';
import { decodeMessage, encodeErrorResponse } from './codec.ts';
import type { FrameWalker, Framing } from './frames.ts';
import { messageName } from './names.ts';
import type { TurnMessageName } from './names.ts';
import type { TurnObserver } from './observer.ts';
import type { Toward } from './traffic.ts';

/** A refused message: it goes no further, and the answer (null: none is due) goes back. */
export interface Refused {
  readonly answer: Buffer | null;
}

interface JudgeParts {
  readonly session: Session;
  readonly policy: Policy;
  readonly limits: Limits;
  readonly meter: Meter;
  readonly observer: TurnObserver;
  readonly framing: Framing;
}

/** RFC 8656 section 15: the server (here: its gate) is not willing. */
const forbidden = 403;
const badRequest = 400;
/** Label lists made once: rules are asked for every Send of a call. */
const allowances = ['turn', 'allow'] as const;
const denials = ['turn', 'deny'] as const;

export class Judge {
  readonly #parts: JudgeParts;
  readonly #toward: Toward;

  constructor(parts: JudgeParts, toward: Toward) {
    this.#parts = parts;
    this.#toward = toward;
  }

  /** The refusal of the control frame the walker is at, or null to let it pass. Responses are never judged: their requests were. */
  control(walker: FrameWalker): Refused | null {
    const { message, dialect } = walker;
    const name = messageName(dialect, message.readUInt16BE(0));
    if (isResponse(name) || (this.#toward === 'toClient' && !name.endsWith('-indication') && name !== 'connection-attempt')) return null;
    const decoded = decodeMessage(message, dialect);
    // A message that cannot be read to its end, or a peer that cannot be read, could be one that rules forbid.
    const peers = decoded !== null && decoded.whole && walker.whole ? peersOf(decoded) : null;
    if (peers === null) return this.#refused(walker, message, badRequest, 'Bad Request', 'malformed');
    const { policy, session, meter } = this.#parts;
    for (const peer of peers.length === 0 ? [null] : peers) {
      const verdict = policy.turn(session, { message: name, peer });
      if (verdict.action === 'allow') continue;
      meter.add('policy_decisions_total', denials);
      return this.#refused(walker, message, verdict.status ?? forbidden, 'Forbidden by policy', verdict.rule);
    }
    meter.add('policy_decisions_total', allowances);
    return null;
  }

  /** Whether rules let a stream pass that stopped being framed (message `opaque`). */
  opaqueAllowed(): boolean {
    return this.#parts.policy.turn(this.#parts.session, { message: 'opaque', peer: null }).action === 'allow';
  }

  #refused(walker: FrameWalker, message: Buffer, code: number, reason: string, rule: string): Refused {
    this.#parts.observer.denied(rule);
    if (this.#toward === 'toClient') return { answer: null };
    this.#parts.observer.refused(message, walker.dialect, code, walker.session);
    const answer = encodeErrorResponse(message, walker.dialect, code, reason);
    return { answer: answer === null ? null : framed(this.#parts.framing, answer, walker.bytes.subarray(walker.start, walker.start + walker.headerBytes)) };
  }
}

/** Puts a message into the stream's framing; `head` is the frame head of the request it answers. */
export function framed(framing: Framing, message: Buffer, head: Buffer): Buffer {
  if (head.length === 0 || framing === 'rfc') return message;
  const start = Buffer.from(head);
  start.writeUInt16BE(message.length + head.length - (framing === 'ms' ? 4 : 2), framing === 'ms' ? 2 : 0);
  return Buffer.concat([start, message]);
}

function isResponse(name: TurnMessageName): boolean {
  return name.endsWith('-response') || name.endsWith('-error');
}
