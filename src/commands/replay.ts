// `sallyport explain --replay FILE`: reads an access log line by line and sums up what a policy would change for its sessions. It holds
// sums and a few examples, never the log.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { readRecorded } from '../policy/recorded.ts';
import type { RecordedFlow } from '../policy/recorded.ts';
import { replay } from '../policy/replay.ts';
import type { Fate, Replayed } from '../policy/replay.ts';
import type { CompiledPolicy } from '../policy/decide.ts';
import type { Output } from './check.ts';
import { clean } from './sessions-text.ts';

/** Sessions that would go from one fate to another by one rule. */
export interface ReplayChange {
  readonly from: Fate;
  readonly to: Fate;
  readonly rule: string;
  sessions: number;
  /** The first of them, for a closer look. */
  readonly examples: { readonly id: string; readonly client: string; readonly to: string; readonly protocol: string; readonly rule: string }[];
}

export interface ReplaySum {
  sessions: number;
  /** Same fate by the same rule, and same fate by another. */
  same: number;
  sameByOtherRule: number;
  /** Ended before policy was asked, or judged request by request. */
  apart: number;
  /** Of a service that the config does not have. */
  foreign: number;
  /** Lines that are no session. */
  unread: number;
  readonly changes: ReplayChange[];
}

const examplesMax = 3;

/** Replays a log; 0 done, 1 when it cannot be read. */
export async function replayLog(policy: CompiledPolicy, file: string, json: boolean, out: Output): Promise<number> {
  const sum: ReplaySum = { sessions: 0, same: 0, sameByOtherRule: 0, apart: 0, foreign: 0, unread: 0, changes: [] };
  const stream = createReadStream(file, 'utf8');
  try {
    for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) if (line !== '') count(sum, policy, line);
  } catch (caught) {
    out.write(`sallyport explain: cannot read ${file}: ${caught instanceof Error ? caught.message : String(caught)}\n`);
    return 1;
  }
  sum.changes.sort((a, b) => b.sessions - a.sessions);
  out.write(json ? `${JSON.stringify(sum, null, 2)}\n` : sumText(sum));
  return 0;
}

function count(sum: ReplaySum, policy: CompiledPolicy, line: string): void {
  const flow = readRecorded(line);
  if (flow === null) {
    sum.unread += 1;
    return;
  }
  sum.sessions += 1;
  if (!policy.options.services.has(flow.session.service)) {
    sum.foreign += 1;
    return;
  }
  const replayed = replay(policy, flow);
  if (replayed === null) sum.apart += 1;
  else if (replayed.was.fate !== replayed.would.fate) note(sum.changes, flow, replayed);
  else if (replayed.was.rule === replayed.would.rule) sum.same += 1;
  else sum.sameByOtherRule += 1;
}

/** Bounded by the fates and the rules of the policy, not by the log. */
function note(changes: ReplayChange[], { session }: RecordedFlow, { was, would }: Replayed): void {
  let change = changes.find(({ from, to, rule }) => from === was.fate && to === would.fate && rule === would.rule);
  if (change === undefined) {
    change = { from: was.fate, to: would.fate, rule: would.rule, sessions: 0, examples: [] };
    changes.push(change);
  }
  change.sessions += 1;
  if (change.examples.length >= examplesMax) return;
  const { id, client, destination, sni, protocol } = session;
  change.examples.push({ id, client: client.ip, to: `${sni ?? destination.host ?? destination.ip ?? '?'}:${destination.port}`, protocol, rule: was.rule });
}

function sumText({ sessions, same, sameByOtherRule, apart, foreign, unread, changes }: ReplaySum): string {
  const changed = changes.reduce((total, change) => total + change.sessions, 0);
  const lines = [`${sessions} sessions: ${changed} would change, ${same} would not, ${sameByOtherRule} would end alike by another rule`];
  for (const change of changes) {
    lines.push(`  ${change.sessions} ${words[change.from]} -> ${words[change.to]}  by ${change.rule}`);
    for (const { id, client, to, protocol, rule } of change.examples) lines.push(`      ${clean(`${id}  ${client} -> ${to}  ${protocol}  was by ${rule}`)}`);
  }
  if (apart > 0) lines.push(`${apart} ended before policy was asked, or were judged request by request`);
  if (foreign > 0) lines.push(`${foreign} are of services that the config does not have`);
  if (unread > 0) lines.push(`${unread} lines are no sessions`);
  return `${lines.join('\n')}\n`;
}

const words: Readonly<Record<Fate, string>> = {
  intercept: 'intercepted', handoff: 'handed off', relay: 'relayed', tunnel: 'tunnelled', deny: 'denied', fail: 'ended with an error', unseen: 'looked at (nothing is known of what is inside)',
};
