// `sallyport check`: judges a config file and its policy and says every fault and warning with its line. It starts nothing.

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { builtinName, builtinText } from '../config/builtin.ts';
import { faultText, loadConfig } from '../config/load.ts';
import { policyStages } from '../core/verdicts.ts';
import { readyConfig } from './policy.ts';
import type { ReadyConfig } from './policy.ts';

/** Where a command writes: standard output, or a test's buffer. */
export interface Output {
  write(text: string): unknown;
}

/** What a command reads its config from. */
export interface ConfigText {
  readonly file: string;
  readonly text: string;
}

const usage = `sallyport check [-c FILE] [--print]

Validates a config and its policy. Exit code 0 when it can be used (warnings do not change that), 2 with one line
FILE:LINE: path: problem for every fault.

  -c, --config FILE   the config; without it, the built-in one
      --print         print the built-in config instead
  -h, --help          this text
`;

/** Runs the command; answers the exit code: 0 ok, 2 bad usage or config. */
export async function run(args: readonly string[], out: Output): Promise<number> {
  const options = readOptions(args);
  if (typeof options === 'string') return refuse(out, options);
  if (options.help) return answer(out, usage);
  if (options.print) return answer(out, builtinText({ root: isRoot() }));
  const source = await configText(options.config);
  if (typeof source === 'string') return refuse(out, source);
  const ready = readyConfig(loadConfig(source.text, source.file), source.file);
  if (!ready.ok) {
    for (const fault of ready.faults) out.write(`${faultText(fault)}\n`);
    return 2;
  }
  for (const warning of ready.warnings) out.write(`${faultText(warning)}\n`);
  return answer(out, `${source.file}: ok: ${summary(ready)}\n`);
}

/** Reads a config file, or the built-in one when there is no name; a text says why that failed and what to do. */
export async function configText(file: string | undefined): Promise<ConfigText | string> {
  if (file === undefined) return { file: builtinName, text: builtinText({ root: isRoot() }) };
  try {
    return { file, text: await readFile(file, 'utf8') };
  } catch (error) {
    return `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}; give the config with -c FILE`;
  }
}

function readOptions(args: readonly string[]): { config: string | undefined; print: boolean; help: boolean } | string {
  try {
    const { values } = parseArgs({ args: [...args], options: { config: { type: 'string', short: 'c' }, print: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } });
    return { config: values.config, print: values.print ?? false, help: values.help ?? false };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}; see sallyport check --help`;
  }
}

function summary({ config, warnings }: ReadyConfig): string {
  const rules = policyStages.reduce((sum, stage) => sum + config.policy[stage].length, 0);
  const count = (amount: number, word: string): string => `${amount} ${word}${amount === 1 ? '' : 's'}`;
  return `${count(config.services.length, 'service')}, ${count(rules, 'rule')}, ${count(warnings.length, 'warning')}`;
}

function answer(out: Output, text: string): 0 {
  out.write(text);
  return 0;
}

function refuse(out: Output, problem: string): 2 {
  out.write(`sallyport check: ${problem}\n`);
  return 2;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
