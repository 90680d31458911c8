// What a run ran on: the machine, and the version of Sallyport that was measured.

import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Machine } from './results.ts';

export function machine(): Machine {
  const [first] = cpus();
  return { cpu: first?.model.trim() ?? 'unknown', cores: cpus().length, memoryGiB: Math.round(totalmem() / 1024 ** 3), kernel: release(), node: process.version };
}

/** The commit that is measured, marked when the source differs from it. */
export function ownVersion(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', ['-C', join(import.meta.dirname, '..'), ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : '-changed');
  } catch {
    return 'unknown';
  }
}
