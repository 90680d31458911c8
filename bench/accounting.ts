// What the operating system says of a program and all its children: CPU used and memory held, read from /proc. It measures nothing
// itself and knows nothing of clocks on the wall.

import { readdirSync, readFileSync } from 'node:fs';

/** Kernel clock ticks a second (sysconf(_SC_CLK_TCK)); 100 on every Linux that Node runs on. */
export const ticksPerSecond = 100;

/** CPU of one process in clock ticks: its own, and that of children it has waited for. */
export interface CpuTicks {
  readonly own: number;
  readonly waitedFor: number;
}

/** Fields 14 to 17 of a line of /proc/PID/stat (proc(5)), or null when it is not one. */
export function parseStat(line: string): CpuTicks | null {
  // The command in field 2 may hold spaces and brackets; fields count again after the last bracket.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ').slice(11, 15).map(Number);
  const [user, system, childUser, childSystem] = fields;
  if (user === undefined || system === undefined || childUser === undefined || childSystem === undefined) return null;
  if (fields.some((field) => !Number.isInteger(field))) return null;
  return { own: user + system, waitedFor: childUser + childSystem };
}

/** A row of /proc/PID/smaps_rollup or status in bytes (`Pss:   123 kB`), or null when it is not there. */
export function parseKilobytes(text: string, row: string): number | null {
  const match = new RegExp(`^${row}:\\s+(\\d+) kB`, 'm').exec(text);
  return match?.[1] === undefined ? null : Number(match[1]) * 1024;
}

/** The process and everything below it that lives now. */
export function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

/** CPU milliseconds used so far by the process, its living descendants and those they have waited for. */
export function cpuMs(pid: number): number {
  const ticks = processTree(pid).map((one) => parseStat(readProc(one, 'stat'))).reduce((sum, stat) => sum + (stat?.own ?? 0) + (stat?.waitedFor ?? 0), 0);
  return (ticks * 1000) / ticksPerSecond;
}

export interface Memory {
  /** Sum of the resident sets: pages that processes share count in each. */
  readonly residentBytes: number;
  /** Sum of the proportional sets: a shared page is split among those that map it. */
  readonly proportionalBytes: number;
}

/** Memory held now by the process and its living descendants. */
export function memoryOf(pid: number): Memory {
  const rollups = processTree(pid).map((one) => readProc(one, 'smaps_rollup'));
  const sum = (row: string): number => rollups.reduce((total, rollup) => total + (parseKilobytes(rollup, row) ?? 0), 0);
  return { residentBytes: sum('Rss'), proportionalBytes: sum('Pss') };
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${String(pid)}/task`).flatMap((task) => readProc(pid, `task/${task}/children`).split(' ').map(Number).filter((child) => child > 0));
  } catch {
    return [];
  }
}

/** Empty for a process that is gone. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${String(pid)}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
