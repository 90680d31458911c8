// The thread of checkpoints.ts: with a connection of its own it moves the log of the state database into its file when it is told to.

import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { CheckpointAnswer, CheckpointOrder } from './checkpoints.ts';
import { checkpoint, openState } from './state.ts';

const { folder, limits }: CheckpointOrder = workerData;
let state: DatabaseSync | null = null;

parentPort?.on('message', (what: unknown) => {
  if (what === 'checkpoint') parentPort?.postMessage(turn());
  else {
    state?.close();
    parentPort?.close();
  }
});

function turn(): CheckpointAnswer {
  try {
    state ??= openState(folder, { durable: false, limits });
    return { left: checkpoint(state, limits.stateLogBytesMax) };
  } catch (caught) {
    return { fault: caught instanceof Error ? caught.message : String(caught) };
  }
}
