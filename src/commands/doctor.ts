// `sallyport doctor`: gathers facts, judges them, prints each check with its mend. The config comes in loaded.

import { parseArgs } from 'node:util';
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

export const doctorUsage = `usage: sallyport doctor -c FILE [--json] [--stun HOST[:PORT]] [--server HOST[:PORT]]...
  checks kernel settings, rules, capabilities, CA, CRL, DNS, clock and limits, and says how to mend what is wrong
  --json   one JSON object instead of lines
  --stun   also ask this STUN server whether UDP gets through
  --server also look at the certificate of this TLS server: one that names neither CRL nor OCSP is most often another interceptor's`;

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
  const wants: DoctorWants = { ...context.wants, stunServer: options.stun ?? context.wants.stunServer, servers: options.servers };
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

interface Options {
  readonly help: boolean;
  readonly json: boolean;
  readonly stun: string | null;
  readonly servers: readonly string[];
}

/** Null for bad usage. */
function readOptions(args: readonly string[]): Options | null {
  try {
    const { values } = parseArgs({
      args: [...args], options: { help: { type: 'boolean', short: 'h', default: false }, json: { type: 'boolean', default: false }, stun: { type: 'string' }, server: { type: 'string', multiple: true, default: [] } },
    });
    const { help, json, stun = null, server } = values;
    return [...server, ...(stun === null ? [] : [stun])].every((host) => /^[\w.:[\]-]+$/.test(host)) ? { help, json, stun, servers: server } : null;
  } catch {
    return null;
  }
}
