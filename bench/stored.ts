// Reads a stored run back, checked: charts and tables are drawn from files that people may have edited.

import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Results } from './results.ts';

export const baselineFolder = join(import.meta.dirname, 'baseline');

const measured = z.object({ value: z.number(), aside: z.record(z.string(), z.number()) });
const summary = z.object({ median: z.number(), low: z.number(), high: z.number(), spread: z.number() });
const peer = z.object({
  peer: z.string(), about: z.string(), summary: summary.nullable(), ratio: z.number().nullable(), aside: z.record(z.string(), z.number()),
  rounds: z.array(measured.nullable()), failure: z.string().nullable(),
});
const counts = z.array(z.int());
const effort = z.object({
  rounds: z.int(), handshakes: z.int(), warmUpHandshakes: z.int(), freshWarmUpHandshakes: z.int(), loadSeconds: z.number(), bulkMiB: z.int(), heldSessions: z.int(),
  firstVisits: z.int(), workersConnections: z.int(), idleSessions: z.int(), idleSeconds: z.number(), curveNames: counts, curveSessions: counts,
});
const curve = z.object({
  names: z.array(z.object({ names: z.int(), newMs: z.number(), knownMs: z.number(), memoryMiB: z.number() })),
  sessions: z.array(z.object({ sessions: z.int(), openMs: z.number(), memoryMiB: z.number(), kibEach: z.number(), idlePercent: z.number() })),
});
const results: z.ZodType<Results> = z.object({
  startedAt: z.iso.datetime(), commit: z.string(), effort, versions: z.record(z.string(), z.string()),
  machine: z.object({ cpu: z.string(), cores: z.int(), memoryGiB: z.number(), kernel: z.string(), node: z.string() }),
  benches: z.array(z.object({ bench: z.string(), title: z.string(), unit: z.string(), peers: z.array(peer) })),
  curve: curve.nullable(), parts: z.record(z.string(), z.string()),
});

/** Throws on anything that is not a whole run. */
export function parseResults(text: string): Results {
  return results.parse(JSON.parse(text));
}

/** The newest baseline by its name, which is its day; throws when there is none. */
export function newestBaseline(): { readonly name: string; readonly results: Results } {
  const newest = readdirSync(baselineFolder).filter((name) => name.endsWith('.json')).sort().at(-1);
  if (newest === undefined) throw new Error('there is no baseline');
  return { name: basename(newest, '.json'), results: parseResults(readFileSync(join(baselineFolder, newest), 'utf8')) };
}
