// Runs the benches in interleaved rounds: each round measures every proxy once, one after the other, so that what the machine does
// besides weighs on all. A failure of one proxy is its result, never the end of the run.

import type { Bench, Contestant, Effort, Measured } from './bench.ts';
import { proveAnswer } from './clients.ts';
import type { Instance, StartOptions } from './peers/peer.ts';
import type { Site } from './site.ts';

/** All rounds of one proxy in one bench; null where a round did not finish. */
export interface PeerRounds {
  readonly peer: string;
  readonly about: string;
  readonly rounds: (Measured | null)[];
  /** Why rounds did not finish, first reason. */
  failure: string | null;
}

export interface BenchRounds {
  readonly bench: Bench;
  readonly peers: readonly PeerRounds[];
}

export async function runBench(bench: Bench, contestants: readonly Contestant[], site: Site, effort: Effort, options: StartOptions, say: (line: string) => void): Promise<BenchRounds> {
  const runs = contestants.map((contestant): Run => ({
    contestant, result: { peer: contestant.peer.name, about: contestant.peer.about, rounds: [], failure: null }, instance: null,
  }));
  try {
    for (let round = 1; round <= effort.rounds; round += 1) {
      // Every other round the other way round: nobody always comes after the same neighbour.
      for (const run of round % 2 === 1 ? runs : runs.toReversed()) {
        const measured = await oneRound(bench, run, site, effort, options);
        const shown = measured === null ? `did not finish: ${run.result.failure ?? ''}` : `${measured.value.toFixed(measured.value >= 100 ? 0 : 3)} ${bench.unit}`;
        say(`${bench.name} ${String(round)}/${String(effort.rounds)}  ${run.result.peer.padEnd(24)} ${shown}`);
      }
    }
  } finally {
    for (const run of runs) await stop(run);
  }
  return { bench, peers: runs.map(({ result }) => result) };
}

interface Run {
  readonly contestant: Contestant;
  readonly result: PeerRounds;
  instance: Instance | null;
}

async function oneRound(bench: Bench, run: Run, site: Site, effort: Effort, options: StartOptions): Promise<Measured | null> {
  const work = run.contestant.work ?? bench;
  let measured: Measured | null = null;
  try {
    const known = run.instance;
    run.instance = known ?? await run.contestant.peer.start(site, options);
    await site.redirectTo(run.instance.port);
    if (known === null) {
      await proveAnswer(site, run.instance);
      await work.warmUp(site, effort, run.instance);
    }
    measured = await work.measure(site, run.instance, effort);
    if (!run.instance.program.running) throw new Error(`it ended: ${run.instance.program.output().slice(-300)}`);
  } catch (caught) {
    measured = null;
    run.result.failure ??= firstLine(caught);
    await stop(run);
  }
  run.result.rounds.push(measured);
  if (bench.freshInstance) await stop(run);
  return measured;
}

async function stop(run: Run): Promise<void> {
  for (const program of run.instance?.beside ?? []) await program.stop();
  await run.instance?.program.stop();
  run.instance = null;
}

/** The end of a message says why, its beginning repeats the command. */
function firstLine(caught: unknown): string {
  const text = caught instanceof Error ? caught.message : String(caught);
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('---'));
  const why = lines.filter((line) => /FATAL|error:/i.test(line));
  return (why.length > 0 ? why.slice(0, 2) : lines.slice(-2)).join(' | ').slice(0, 300);
}
