// Names what a lab leaves on the machine (namespaces, folders) after the process that owns it, and removes what processes that
// are dead left behind. Never touches anything of a living process or without the lab's own prefix.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'splab';
const pattern = /^splab-(\d+)-(\d+)-/;

/** `splab-PID-START-`: a process id alone would be taken again by somebody else some day; with the start time it is not. */
export function ownPrefix(): string {
  return `${prefix}-${process.pid}-${startTime(process.pid) ?? '0'}-`;
}

/** A temp folder that a later sweep recognises. */
export function ownFolder(): string {
  return mkdtempSync(join(tmpdir(), ownPrefix()));
}

/** Removes namespaces and folders of test processes that are gone. Synchronous: it also runs while a process exits. */
export function sweepDead(): void {
  for (const namespace of namespaces()) if (isDead(namespace)) removeNamespace(namespace);
  for (const folder of readdirSync(tmpdir())) {
    if (isDead(folder)) rmSync(join(tmpdir(), folder), { recursive: true, force: true });
  }
}

/** Names of all network namespaces that iproute2 knows. */
export function namespaces(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}

/** Ends what still runs inside, then removes the namespace and its /etc files. */
export function removeNamespace(namespace: string): void {
  for (const pid of pidsInside(namespace)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  try {
    execFileSync('ip', ['netns', 'del', namespace], { stdio: 'ignore' });
  } catch {
    // Already gone.
  }
  rmSync(join('/etc/netns', namespace), { recursive: true, force: true });
  try {
    rmdirSync('/etc/netns');
  } catch {
    // Others still use it.
  }
}

/** Where `ip netns exec` looks for the namespace's own /etc files. */
export function etcFolder(namespace: string): string {
  const folder = join('/etc/netns', namespace);
  mkdirSync(folder, { recursive: true });
  return folder;
}

function pidsInside(namespace: string): number[] {
  try {
    const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return pids.split('\n').filter((line) => line !== '').map(Number);
  } catch {
    return [];
  }
}

function isDead(name: string): boolean {
  const match = pattern.exec(name);
  return match !== null && startTime(Number(match[1])) !== match[2];
}

/** Start time of a process in clock ticks since boot (proc(5), stat, field 22), or null when there is no such process. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in field 2 may hold spaces and brackets; fields count again after the last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
