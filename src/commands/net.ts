// `sallyport net show|apply|remove`: the words around src/net. The config comes in loaded.

import { applyNet, netDifferences, NetError, readNet, removeNet } from '../net/apply.ts';
import type { RunTool } from '../net/apply.ts';
import { renderTable } from '../net/nftables.ts';
import { netPlan } from '../net/plan.ts';
import type { NetService } from '../net/plan.ts';
import { routedFamilies, routingLines } from '../net/routing.ts';

export interface NetContext {
  /** The config's services. */
  readonly services: readonly NetService[];
  readonly tools: RunTool;
  /** One line to standard output, one to standard error. */
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
}

export const netUsage = `usage: sallyport net show|apply|remove -c FILE
  show     the nftables rules and routing commands of the config, ready for nft -f
  apply    put them in force: one transaction, again and again the same, nothing of others touched (root)
  remove   take them away without a trace (root)`;

/** Answers the exit code: 0 ok, 1 the kernel or a tool refused, 2 bad usage or config. `args` follow the word `net`. */
export async function run(args: readonly string[], context: NetContext): Promise<number> {
  const [action, ...rest] = args;
  if (action === '--help' || action === '-h') {
    context.print(netUsage);
    return 0;
  }
  if (rest.length > 0 || (action !== 'show' && action !== 'apply' && action !== 'remove')) {
    context.complain(netUsage);
    return 2;
  }
  try {
    return action === 'remove' ? await remove(context) : await showOrApply(action, context);
  } catch (error) {
    if (!(error instanceof NetError)) throw error;
    context.complain(error.message);
    return 1;
  }
}

async function remove({ tools, print }: NetContext): Promise<number> {
  await removeNet(tools);
  print('removed: table inet sallyport and its routing');
  return 0;
}

async function showOrApply(action: 'show' | 'apply', { services, tools, print, complain }: NetContext): Promise<number> {
  const plan = netPlan(services);
  for (const problem of plan.problems) complain(problem);
  if (plan.problems.length > 0) return 2;
  if (plan.takings.length === 0) {
    complain('the config has no transparent service (acquire: redirect or tproxy): there is nothing to intercept');
    return 2;
  }
  if (action === 'show') {
    print(renderTable(plan).text.trimEnd());
    for (const family of routedFamilies(plan)) for (const line of routingLines(true, 0, false)) print(`# ip -${family} ${line}`);
    return 0;
  }
  await applyNet(plan, tools);
  const differences = netDifferences(await readNet(tools), plan);
  for (const difference of differences) complain(`applied, but ${difference}`);
  if (differences.length > 0) return 1;
  for (const { service, family, acquire, ports, port } of plan.takings) print(`${service}: IPv${family} TCP ${ports.join(', ')} by ${acquire} to port ${port}`);
  return 0;
}
