// What the demo's processes tell each other: a file of plain data, written by the demo itself.

import { readFile } from 'node:fs/promises';
import type { Identity } from './identities.ts';
import type { PeerEndpoints } from './peers.ts';

export interface Plan {
  readonly at: PeerEndpoints;
  readonly root: Identity;
  /** File of the gateway's CA. */
  readonly gatewayCa: string;
  readonly client: Identity;
}

/** Reads the plan; throws when the file is not one. */
export async function readPlan(file: string | undefined): Promise<Plan> {
  const plan: unknown = JSON.parse(await readFile(file ?? '', 'utf8'));
  if (!isPlan(plan)) throw new Error(`${file ?? ''} is not a plan of the demo`);
  return plan;
}

function isPlan(value: unknown): value is Plan {
  return typeof value === 'object' && value !== null && 'at' in value && 'root' in value && 'gatewayCa' in value && 'client' in value;
}
