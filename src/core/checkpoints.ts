// Moves the log of the state database into its file now and then, in a thread of its own: that waits for the disk, and the process that
// starts this may carry traffic. One of a gateway does; it holds nobody up, and a thread that ended is replaced at the next turn.

import { Worker } from 'node:worker_threads';
import type { Limits } from './limits.ts';
import type { Logger } from './log.ts';
import type { StateLimits } from './state.ts';

export type CheckpointLimits = StateLimits & Pick<Limits, 'stateCheckpointMs' | 'stateLogBytesMax'>;

/** What the thread is started with. */
export interface CheckpointOrder {
  readonly folder: string;
  readonly limits: CheckpointLimits;
}

/** What became of one turn: the octets left in the log, or why it failed. */
export type CheckpointAnswer = { readonly left: number } | { readonly fault: string };

export interface Checkpoints {
  /** Resolves when the thread has let go of the database. */
  stop(): Promise<void>;
}

/** Begins with the first turn `stateCheckpointMs` from now. */
export function startCheckpoints(folder: string, limits: CheckpointLimits, log: Logger): Checkpoints {
  let thread: Worker | null = null;
  let underWay = false;
  /** Turns in a row after which the log was still too long: once may be chance, then it is told once. */
  let tooLong = 0;
  let failing = false;

  const failed = (fault: unknown): void => {
    if (!failing) log.warn({ err: fault }, 'the log of the state database could not be moved into its file; tried again');
    failing = true;
  };
  const answered = (answer: CheckpointAnswer): void => {
    underWay = false;
    if ('fault' in answer) {
      failed(answer.fault);
      return;
    }
    failing = false;
    tooLong = answer.left > limits.stateLogBytesMax ? tooLong + 1 : 0;
    if (tooLong === 2) log.warn({ bytes: answer.left }, 'the log of the state database cannot be cut: another process keeps reading or writing; tried again');
  };
  const start = (): Worker => {
    const order: CheckpointOrder = { folder, limits };
    const started = new Worker(new URL('./checkpoint-thread.ts', import.meta.url), { workerData: order });
    started.on('message', answered);
    started.on('error', failed);
    started.once('exit', () => {
      thread = null;
      underWay = false;
    });
    started.unref();
    return started;
  };
  const timer = setInterval(() => {
    if (underWay) return;
    underWay = true;
    thread ??= start();
    thread.postMessage('checkpoint');
  }, limits.stateCheckpointMs).unref();
  return {
    async stop() {
      clearInterval(timer);
      if (thread !== null) await ended(thread, limits.stateWaitMs);
    },
  };
}

/** Lets a turn under way come to its end, unless the disk takes too long. */
async function ended(thread: Worker, waitMs: number): Promise<void> {
  const late = setTimeout(() => void thread.terminate(), waitMs);
  await new Promise<void>((resolve) => {
    thread.once('exit', () => resolve());
    thread.ref();
    thread.postMessage('close');
  });
  clearTimeout(late);
}
