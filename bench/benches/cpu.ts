// The way CPU is charged to work: what the kernel accounts to a proxy's processes from before the load to a moment after it.

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs } from '../accounting.ts';
import type { Instance } from '../peers/peer.ts';

/** After work was done: what processes still do for it counts too. */
const settleMs = 300;

/** Runs the load; answers its result and the CPU milliseconds that it cost the proxy. */
export async function charged<Result>({ program }: Instance, load: () => Promise<Result>): Promise<{ result: Result; ms: number }> {
  const before = cpuMs(program.pid);
  const result = await load();
  await sleep(settleMs);
  return { result, ms: cpuMs(program.pid) - before };
}
