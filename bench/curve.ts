// How Sallyport's cost grows: CPU and memory against names that nobody asked for before, and against sessions that are held. One pass, no
// peers: it tells what a machine carries, not who is faster.

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, memoryOf } from './accounting.ts';
import { charged } from './benches/cpu.ts';
import type { Effort } from './bench.ts';
import { coldVisits, handshakes, hold } from './clients.ts';
import { origins } from './origins.ts';
import type { Instance } from './peers/peer.ts';
import { sallyport } from './peers/sallyport.ts';
import { columns, shown } from './report.ts';
import type { Site } from './site.ts';

export interface NamesStep {
  /** Different names visited so far. */
  readonly names: number;
  /** CPU of a connection to a name not met before, and to one that is known, in milliseconds. */
  readonly newMs: number;
  readonly knownMs: number;
  /** Proportional set of all processes. */
  readonly memoryMiB: number;
}

export interface SessionsStep {
  readonly sessions: number;
  /** CPU to open one of the sessions that this step added. */
  readonly openMs: number;
  readonly memoryMiB: number;
  /** Over all held so far. */
  readonly kibEach: number;
  readonly idlePercent: number;
}

export interface Curve {
  readonly names: readonly NamesStep[];
  readonly sessions: readonly SessionsStep[];
}

/** Known names visited for one figure, at most. */
const knownVisits = 500;
const handshakesAtOnce = 8;
const settleMs = 3_000;
const kiB = 1024;
const miB = 1024 * kiB;

export const curveAbout = 'cost curve of Sallyport alone: CPU and memory against thousands of new names and of held sessions';

/** Measures; `say` hears of each step. */
export async function measureCurve(site: Site, effort: Effort, say: (line: string) => void): Promise<Curve> {
  const names = await withSallyport(site, effort, async (instance) => {
    const steps: NamesStep[] = [];
    for (const [index, count] of effort.curveNames.entries()) {
      const first = effort.curveNames[index - 1] ?? 0;
      const fresh = await charged(instance, () => coldVisits(site, first, count - first, handshakesAtOnce));
      const known = await charged(instance, () => coldVisits(site, 0, Math.min(count, knownVisits), handshakesAtOnce));
      steps.push({ names: count, newMs: fresh.ms / fresh.result.done, knownMs: known.ms / known.result.done, memoryMiB: memoryOf(instance.program.pid).proportionalBytes / miB });
      say(`curve  ${String(count)} names`);
    }
    return steps;
  });
  const sessions = await withSallyport(site, effort, async (instance) => {
    const steps: SessionsStep[] = [];
    const before = memoryOf(instance.program.pid).proportionalBytes;
    for (const [index, count] of effort.curveSessions.entries()) {
      const added = count - (effort.curveSessions[index - 1] ?? 0);
      const opened = await charged(instance, async () => void instance.beside.push(await hold(site, added)));
      await sleep(settleMs);
      const held = memoryOf(instance.program.pid).proportionalBytes;
      steps.push({ sessions: count, openMs: opened.ms / added, memoryMiB: held / miB, kibEach: (held - before) / count / kiB, idlePercent: await idlePercent(instance, effort) });
      say(`curve  ${String(count)} sessions`);
    }
    return steps;
  });
  return { names, sessions };
}

async function withSallyport<Result>(site: Site, effort: Effort, run: (instance: Instance) => Promise<Result>): Promise<Result> {
  // All sessions here come from three addresses, where a network has thousands.
  const most = Math.max(1_000, ...effort.curveSessions) + 1;
  const instance = await sallyport({ limits: { sessionsPerClientMax: most } }).start(site, { profile: null });
  try {
    await site.redirectTo(instance.port);
    await handshakes(site, origins.plain, effort.freshWarmUpHandshakes);
    return await run(instance);
  } finally {
    for (const program of instance.beside) await program.stop();
    await instance.program.stop();
  }
}

async function idlePercent({ program }: Instance, { idleSeconds }: Effort): Promise<number> {
  const before = cpuMs(program.pid);
  const beganAt = performance.now();
  await sleep(idleSeconds * 1000);
  return (100 * (cpuMs(program.pid) - before)) / (performance.now() - beganAt);
}

/** The curve as lines of plain text. */
export function curveTable(curve: Curve): string {
  return ['Cost curve', ...curveRows(curve).map(columns)].join('\n');
}

/** Two tables with a row of heads each. */
export function curveRows({ names, sessions }: Curve): readonly (readonly (readonly string[])[])[] {
  return [
    [['names visited', 'ms CPU, new name', 'ms CPU, known name', 'memory MiB (PSS)'], ...names.map((step) => [step.names.toLocaleString('en'), shown(step.newMs), shown(step.knownMs), shown(step.memoryMiB)])],
    [
      ['sessions held', 'ms CPU to open', 'memory MiB (PSS)', 'KiB each', '% of a core, idle'],
      ...sessions.map((step) => [step.sessions.toLocaleString('en'), shown(step.openMs), shown(step.memoryMiB), shown(step.kibEach), shown(step.idlePercent)]),
    ],
  ];
}
