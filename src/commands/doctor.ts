// `sallyport doctor`: gathers facts, judges them, prints each check with its mend. The config comes in loaded.

import type { RunTool } from '../net/apply.ts';
import { gatherFacts } from '../net/doctor-facts.ts';
import { doctorChecks } from '../net/doctor.ts';
import type { Check, DoctorWants } from '../net/doctor.ts';

export interface DoctorContext {
  /** What the config wants; `plan` is `netPlan(config.services)`. */
  readonly wants: DoctorWants;
  readonly tools: RunTool;
  /** limits.doctorProbeMs */
  readonly probeMs: number;
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
}

export const doctorUsage = `usage: sallyport doctor -c FILE [--json] [--stun HOST[:PORT]]
  checks kernel settings, rules, capabilities, CA, CRL, DNS, clock and limits, and says how to mend what is wrong
  --json   one JSON object instead of lines
  --stun   also ask this STUN server whether UDP gets through`;

/** Answers the exit code: 0 nothing failed (warnings may be), 1 something failed, 2 bad usage. `args` follow the word `doctor`. */
export async function run(args: readonly string[], context: DoctorContext): Promise<number> {
  const options = readOptions(args);
  if (options === null) {
    context.complain(doctorUsage);
    return 2;
  }
  if (options.help) {
    context.print(doctorUsage);
    return 0;
  }
  const wants: DoctorWants = options.stun === null ? context.wants : { ...context.wants, stunServer: options.stun };
  const checks = doctorChecks(wants, await gatherFacts(wants, context.tools, context.probeMs));
  if (options.json) context.print(JSON.stringify({ checks }));
  else for (const line of checkLines(checks)) context.print(line);
  return checks.some(({ state }) => state === 'fail') ? 1 : 0;
}

/** The report as lines: the state, the check, what was found, and below it what mends it. */
export function checkLines(checks: readonly Check[]): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const counts = { ok: 0, warn: 0, fail: 0 };
  const lines = checks.flatMap(({ name, state, text, mend }) => {
    counts[state] += 1;
    const line = `${state.padEnd(4)}  ${name.padEnd(width)}  ${text}`;
    return mend === null ? [line] : [line, `${' '.repeat(width + 8)}-> ${mend}`];
  });
  return [...lines, `${counts.ok} ok, ${counts.warn} warnings, ${counts.fail} failed`];
}

function readOptions(args: readonly string[]): { help: boolean; json: boolean; stun: string | null } | null {
  const options: { help: boolean; json: boolean; stun: string | null } = { help: false, json: false, stun: null };
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index];
    if (word === '--help' || word === '-h') options.help = true;
    else if (word === '--json') options.json = true;
    else if (word === '--stun') {
      index += 1;
      const server = args[index];
      if (server === undefined || !/^[\w.:[\]-]+$/.test(server)) return null;
      options.stun = server;
    } else return null;
  }
  return options;
}
