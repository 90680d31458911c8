// The nftables rules and routes of a lab gateway, put there by the product's own command, as an operator would. Taken away with the
// namespace, or earlier by `removeRules`.

import { join } from 'node:path';
import type { RunResult } from '../../support/program.ts';
import type { Host } from './host.ts';

export const repository = join(import.meta.dirname, '../../..');
/** What the launcher runs once it has installed everything; the launcher itself would want the network for that. */
export const sallyport = [process.execPath, join(repository, 'src/cli.ts')] as const;

/** Sends the traffic of the config's transparent services to their listeners. */
export async function applyRules(host: Host, configFile: string): Promise<void> {
  await host.mustRun([...sallyport, 'net', 'apply', '-c', configFile]);
}

/** Takes the rules away, so that the next gateway of the same lab starts from nothing. */
export function removeRules(host: Host, configFile: string): Promise<RunResult> {
  return host.run([...sallyport, 'net', 'remove', '-c', configFile]);
}
