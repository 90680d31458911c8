// Runs nft and ip for a plan: one nft transaction, then only those routing changes that are missing. Twice is the same as once, and
// removal takes away nothing but the own table, rule and route.

import { execFile } from 'node:child_process';
import { listedComments, removalText, renderTable, tableName } from './nftables.ts';
import type { Family, NetPlan } from './plan.ts';
import { hasRoute, routedFamilies, routingLines, routingTable, ruleCount } from './routing.ts';

export interface ToolResult {
  /** Exit code; null when the program is not there or was ended. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a system program to its end; never rejects. */
export type RunTool = (program: 'nft' | 'ip', args: readonly string[], input?: string) => Promise<ToolResult>;

/** What the kernel has of ours. */
export interface NetState {
  /** Comments of the table's rules in order; null when there is no table. */
  readonly comments: readonly string[] | null;
  readonly routing: Readonly<Record<Family, { readonly rules: number; readonly route: boolean }>>;
  /** Why it could not be read (no nft, not root), else null. */
  readonly fault: string | null;
}

/** A tool refused. The message is for operators: which tool, and its own words. */
export class NetError extends Error {
  override readonly name = 'NetError';
}

const families = [4, 6] as const;
const outputBytesMax = 16 * 1024 * 1024;

/** The real tools; `timeoutMs` is `limits.toolMs`. */
export function systemTools(timeoutMs: number): RunTool {
  return (program, args, input) => new Promise((resolve) => {
    const child = execFile(program, [...args], { timeout: timeoutMs, maxBuffer: outputBytesMax, encoding: 'utf8' }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr: stderr === '' && error !== null ? error.message : stderr });
    });
    child.stdin?.on('error', () => { /* The tool left before it read all: its exit tells. */ });
    child.stdin?.end(input ?? '');
  });
}

/** Makes the kernel match the plan. Rejects with NetError; then nothing of the table has changed. */
export async function applyNet(plan: NetPlan, run: RunTool): Promise<void> {
  const { text } = renderTable(plan);
  // Checked before anything changes, so that a refusal leaves no routing behind.
  await must(run, 'nft', ['-c', '-f', '-'], text);
  await settleRouting(routedFamilies(plan), run);
  await must(run, 'nft', ['-f', '-'], text);
}

/** Takes away the own table, rules and routes, whether they are there or not. */
export async function removeNet(run: RunTool): Promise<void> {
  await must(run, 'nft', ['-f', '-'], removalText);
  await settleRouting([], run);
}

/** Reads what is there. Never rejects. */
export async function readNet(run: RunTool): Promise<NetState> {
  const tables = await run('nft', ['-j', 'list', 'tables', 'inet']);
  const routing = { 4: await readRouting(4, run), 6: await readRouting(6, run) };
  if (tables.code !== 0) return { comments: null, routing, fault: firstLine('nft', tables) };
  if (!tables.stdout.includes(`"name": "${tableName}"`)) return { comments: null, routing, fault: null };
  const listing = await run('nft', ['-j', 'list', 'table', 'inet', tableName]);
  const comments = listing.code === 0 ? listedComments(listing.stdout) : null;
  return { comments, routing, fault: comments === null ? firstLine('nft', listing) : null };
}

/** What differs between the kernel and a plan, in words; empty when they agree. */
export function netDifferences(state: NetState, plan: NetPlan): string[] {
  const { comments } = renderTable(plan);
  const differences: string[] = [];
  if (state.comments === null) differences.push(`table inet ${tableName} is missing`);
  else {
    for (const comment of comments) if (!state.comments.includes(comment)) differences.push(`rule missing: ${comment}`);
    for (const comment of state.comments) if (!comments.includes(comment)) differences.push(`rule too many: ${comment === '' ? 'one without comment' : comment}`);
    if (differences.length === 0 && comments.join('\n') !== state.comments.join('\n')) differences.push('rules in another order');
  }
  const wanted = routedFamilies(plan);
  for (const family of families) {
    const { rules, route } = state.routing[family];
    if (routingLines(wanted.includes(family), rules, route).length > 0) differences.push(`IPv${family} routing of marked packets (TPROXY) is ${wanted.includes(family) ? 'missing' : 'left over'}`);
  }
  return differences;
}

async function settleRouting(wanted: readonly Family[], run: RunTool): Promise<void> {
  for (const family of families) {
    const { rules, route } = await readRouting(family, run);
    const lines = routingLines(wanted.includes(family), rules, route);
    if (lines.length > 0) await must(run, 'ip', [`-${family}`, '-batch', '-'], `${lines.join('\n')}\n`);
  }
}

async function readRouting(family: Family, run: RunTool): Promise<{ rules: number; route: boolean }> {
  const rules = await run('ip', [`-${family}`, '-j', 'rule', 'show']);
  // Fails, or prints nothing, when nobody has made the table yet.
  const routes = await run('ip', [`-${family}`, '-j', 'route', 'show', 'table', routingTable]);
  return { rules: ruleCount(rules.stdout), route: hasRoute(routes.stdout) };
}

async function must(run: RunTool, program: 'nft' | 'ip', args: readonly string[], input: string): Promise<void> {
  const result = await run(program, args, input);
  if (result.code !== 0) throw new NetError(firstLine(program, result));
}

function firstLine(program: string, { code, stderr }: ToolResult): string {
  const line = stderr.split('\n').find((each) => each.trim() !== '')?.trim() ?? `ended with ${code ?? 'a signal'}`;
  if (/ENOENT/.test(line)) return `${program} is not installed (Debian: apt install ${program === 'ip' ? 'iproute2' : 'nftables'})`;
  return /not permitted|Permission denied/i.test(line) ? `${program}: needs root (CAP_NET_ADMIN)` : `${program}: ${line}`;
}
