// Reads the config a command works with: the file given by -c, or the built-in one. Faults are printed as FILE:LINE: path: problem.

import { faultText, loadConfig } from '../config/load.ts';
import type { ConfigSource } from '../traffic.ts';
import { configText } from './check.ts';
import { readyConfig } from './policy.ts';
import type { ReadyConfig } from './policy.ts';

export interface ReadyFile {
  readonly ready: ReadyConfig;
  readonly source: ConfigSource;
}

/** The config, or null after its faults were printed (the command then ends with 2). Warnings are printed where wanted. */
export async function readConfig(file: string | undefined, warn = true): Promise<ReadyFile | null> {
  const found = await configText(file);
  if (typeof found === 'string') {
    process.stderr.write(`sallyport: ${found}\n`);
    return null;
  }
  const ready = readyConfig(loadConfig(found.text, found.file), found.file);
  for (const line of !ready.ok ? ready.faults : warn ? ready.warnings : []) process.stderr.write(`${faultText(line)}\n`);
  return ready.ok ? { ready, source: { text: found.text, fileName: found.file } } : null;
}

/** Takes `-c FILE` out of a command's arguments. */
export function takeConfig(args: readonly string[]): { file: string | undefined; rest: string[] } {
  const at = args.findIndex((arg) => arg === '-c' || arg === '--config');
  return at < 0 ? { file: undefined, rest: [...args] } : { file: args[at + 1], rest: [...args.slice(0, at), ...args.slice(at + 2)] };
}
