// Asks the policy of a gateway's config about the sessions that the gateway itself recorded: it must say what the gateway did. So every lab
// test is a test of `explain --replay` too.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readyConfig } from '../../../src/commands/policy.ts';
import { replayLog } from '../../../src/commands/replay.ts';
import { loadConfig } from '../../../src/config/load.ts';

/** What replaying the gateway's own access log would change; empty when nothing. */
export async function replayChanges(configFile: string, stateFolder: string): Promise<string> {
  const log = join(stateFolder, 'access.jsonl');
  if (!existsSync(log)) return '';
  const ready = readyConfig(loadConfig(readFileSync(configFile, 'utf8'), configFile), configFile);
  if (!ready.ok) return `the config is unusable: ${JSON.stringify(ready.faults)}`;
  let text = '';
  await replayLog(ready.policy, log, false, { write: (part) => (text += part) });
  return / 0 would change, \d+ would not, 0 would/.test(text) && !/lines are no sessions/.test(text) ? '' : text;
}
