// `sallyport test`: everything CI runs, quick things first: Debian peers when root, types and lint, then the test projects, each within
// its share of the time. Sums up at the end; as root a skipped test counts as failed, for there nothing is missing that could excuse it.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { installPackages, isRoot, missingPackages } from '../../test/support/apt.ts';

const help = `Usage: ./sallyport test [PART ...] [--only TEXT] [--results FOLDER]

Parts, in this order, all of them but soak when none is named:
  setup         install the Debian packages that tests talk to (root only)
  static        types and lint
  unit          quick tests of single files
  conformance   published vectors and torture messages
  fuzz          parsers against seeded mutations
  bench         every benchmark for seconds, to see that it works (root only)
  lab           real clients and servers in network namespaces (root only)
  soak          idle SIP registrations held for ten minutes under load; only when it is named (root only)

  --only TEXT       only test files whose path contains TEXT
  --results FOLDER  keep the JSON reports there`;

const parts = ['setup', 'static', 'unit', 'conformance', 'fuzz', 'bench', 'lab', 'soak'] as const;
type Part = (typeof parts)[number];

const usualParts = parts.filter((part) => part !== 'soak');

const minute = 60_000;
/** Wall time of the parts that share a budget: what does not end in time counts as failed. */
const budgetsMs = { setup: 10 * minute, quick: 10 * minute, bench: 8 * minute, lab: 45 * minute, soak: 30 * minute } as const;
const budgetOf: Readonly<Record<Part, keyof typeof budgetsMs>> = { setup: 'setup', static: 'quick', unit: 'quick', conformance: 'quick', fuzz: 'quick', bench: 'bench', lab: 'lab', soak: 'soak' };

const home = join(import.meta.dirname, '../..');

interface Outcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly elapsedMs: number;
  /** Why it failed where no test says it. */
  readonly trouble: string | null;
}

/** Exit codes: 0 when nothing failed, 1 when something did, 2 bad usage. The last line is `N passed, N failed`. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args, allowPositionals: true, options: { only: { type: 'string' }, results: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    say(help);
    return 0;
  }
  const strange = positionals.find((word) => !isPart(word));
  if (strange !== undefined) {
    process.stderr.write(`sallyport: there is no part '${strange}' of the tests. Parts: ${parts.join(', ')}\n`);
    return 2;
  }
  const wanted = positionals.length === 0 ? usualParts : parts.filter((part) => positionals.includes(part));
  const results = values.results ?? mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  mkdirSync(results, { recursive: true });
  const left: Record<keyof typeof budgetsMs, number> = { ...budgetsMs };
  const outcomes: Outcome[] = [];
  for (const part of wanted) {
    const startedAt = Date.now();
    outcomes.push(...await runPart(part, { results, only: values.only ?? null, timeMs: left[budgetOf[part]] }));
    left[budgetOf[part]] -= Date.now() - startedAt;
  }
  if (values.results === undefined) rmSync(results, { recursive: true, force: true });
  return summary(outcomes);
}

interface PartOptions {
  readonly results: string;
  readonly only: string | null;
  readonly timeMs: number;
}

async function runPart(part: Part, options: PartOptions): Promise<Outcome[]> {
  switch (part) {
    case 'setup': return [await setUp()];
    case 'static': return [
      await check('types', ['node_modules/typescript/bin/tsc'], options.timeMs),
      await check('lint', ['node_modules/eslint/bin/eslint.js', 'src', 'test', 'bench', 'demo'], options.timeMs),
    ];
    case 'unit': case 'conformance': case 'fuzz': return [await project(part, options)];
    case 'bench': {
      if (isRoot) return [await check('bench', ['src/cli.ts', 'bench', '--smoke'], options.timeMs)];
      say('bench: skipped, for network namespaces need root');
      return [{ name: 'bench', passed: 0, failed: 0, skipped: 1, elapsedMs: 0, trouble: null }];
    }
    case 'lab': case 'soak': {
      if (!isRoot) say(`${part}: skipped, for network namespaces need root`);
      const outcome = await project(part, options);
      if (isRoot) (await import('../../test/lab/support/sweep.ts')).sweepDead();
      return [outcome];
    }
  }
}

async function setUp(): Promise<Outcome> {
  const startedAt = Date.now();
  const missing = isRoot ? await installPackages((line) => say(`setup: ${line}`)) : missingPackages();
  const trouble = missing.length === 0 ? null : `${isRoot ? 'could not install' : 'not installed, and not root'}: ${missing.join(' ')}`;
  if (trouble !== null && !isRoot) say(`setup: ${trouble}; tests that need them will say so`);
  const failed = trouble !== null && isRoot;
  return { name: 'setup', passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: 0, elapsedMs: Date.now() - startedAt, trouble: failed ? trouble : null };
}

async function check(name: string, command: readonly string[], timeMs: number): Promise<Outcome> {
  const startedAt = Date.now();
  const code = await runNode(command, timeMs);
  return { name, passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, elapsedMs: Date.now() - startedAt, trouble: code === null ? 'ran out of time' : null };
}

const reportSchema = z.object({ numPassedTests: z.int(), numFailedTests: z.int(), numPendingTests: z.int(), numTodoTests: z.int() });

async function project(name: string, { results, only, timeMs }: PartOptions): Promise<Outcome> {
  const startedAt = Date.now();
  const report = join(results, `${name}.json`);
  rmSync(report, { force: true });
  const code = await runNode([
    'node_modules/vitest/vitest.mjs', 'run', '--project', name, '--passWithNoTests', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`,
    ...(only === null ? [] : [only]),
  ], timeMs);
  const counts = readReport(report);
  const elapsedMs = Date.now() - startedAt;
  if (counts === null) return { name, passed: 0, failed: 1, skipped: 0, elapsedMs, trouble: code === null ? 'ran out of time' : 'left no report' };
  const skipped = counts.numPendingTests + counts.numTodoTests;
  const inExcusable = isRoot && only === null ? skipped : 0;
  // A file that does not load fails the run without failing a test.
  const silent = code !== 0 && counts.numFailedTests === 0 ? 1 : 0;
  return {
    name, passed: counts.numPassedTests, failed: counts.numFailedTests + inExcusable + silent, skipped, elapsedMs,
    trouble: silent > 0 ? 'the run failed outside of its tests' : inExcusable > 0 ? `${skipped} skipped although root` : null,
  };
}

function readReport(file: string): z.output<typeof reportSchema> | null {
  try {
    return reportSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return null;
  }
}

/** Runs a script with this Node from the repository's root; answers its exit code, or null when the time was over. */
function runNode(command: readonly string[], timeMs: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    if (timeMs <= 0) return void resolve(null);
    // A process group of its own, so that nothing of it outlives the time limit or an interrupt.
    const child = spawn(process.execPath, command, { cwd: home, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    const end = (signal: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It is gone already.
      }
    };
    const interrupt = (): void => end('SIGTERM');
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      end('SIGKILL');
    }, timeMs);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
    };
    child.once('error', (error) => {
      done();
      reject(error);
    });
    child.once('exit', (code) => {
      done();
      resolve(late ? null : code ?? 1);
    });
  });
}

function summary(outcomes: readonly Outcome[]): number {
  const sum = (pick: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
  say('');
  for (const { name, passed, failed, skipped, elapsedMs, trouble } of outcomes) {
    const counts = `${String(passed).padStart(6)} passed ${String(failed).padStart(5)} failed ${String(skipped).padStart(5)} skipped ${(elapsedMs / 1000).toFixed(1).padStart(8)} s`;
    say(`${name.padEnd(12)} ${counts}${trouble === null ? '' : `  ${trouble}`}`);
  }
  const failed = sum((outcome) => outcome.failed);
  say(`${sum((outcome) => outcome.passed)} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function isPart(word: string): word is Part {
  return parts.some((part) => part === word);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
