import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { cpuMs, memoryOf, parseKilobytes, parseStat, processTree, ticksPerSecond } from '../../../bench/accounting.ts';

describe('a line of /proc/PID/stat', () => {
  const tail = 'S 1 2 3 0 -1 4194560 10 20 0 0 700 30 5 6 20 0 1 0 99 0 0';

  test('gives own and waited-for ticks', () => {
    expect(parseStat(`42 (squid) ${tail}`)).toEqual({ own: 730, waitedFor: 11 });
  });

  test('whatever the command is called', () => {
    expect(parseStat(`42 (a) b (c d) 9 8) ${tail}`)).toEqual({ own: 730, waitedFor: 11 });
  });

  test.each(['', '42 (squid', '42 (squid) S 1 2', `42 (squid) ${tail.replace('700', 'x')}`])('is refused when it is none: %j', (line) => {
    expect(parseStat(line)).toBeNull();
  });
});

test('a row in kilobytes', () => {
  expect(parseKilobytes('Rss:    1200 kB\nPss:     345 kB\nPss_Dirty: 7 kB\n', 'Pss')).toBe(345 * 1024);
  expect(parseKilobytes('Rss: 1 kB\n', 'Pss')).toBeNull();
});

test('the kernel counts as many ticks a second as this machine says', () => {
  expect(Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))).toBe(ticksPerSecond);
});

test('CPU and memory of children count, living and waited for', async () => {
  const burn = 'let n = 0; for (const end = Date.now() + 300; Date.now() < end;) n += 1;';
  const script = `const { spawn, spawnSync } = require('node:child_process');
    spawnSync(process.execPath, ['-e', ${JSON.stringify(burn)}]);
    const living = spawn(process.execPath, ['-e', ${JSON.stringify(`${burn} setInterval(() => {}, 1000); console.log('up');`)}], { stdio: ['ignore', 'inherit', 'ignore'] });
    process.on('SIGTERM', () => { living.kill(); process.exit(); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    const pid = child.pid ?? 0;
    expect(processTree(pid)).toHaveLength(2);
    // Two times 300 ms on the wall; on a busy machine a share of them.
    expect(cpuMs(pid)).toBeGreaterThan(100);
    const memory = memoryOf(pid);
    expect(memory.residentBytes).toBeGreaterThan(40 * 1024 * 1024);
    expect(memory.proportionalBytes).toBeGreaterThan(0);
    expect(memory.proportionalBytes).toBeLessThan(memory.residentBytes);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  expect(memoryOf(child.pid ?? 0)).toEqual({ residentBytes: 0, proportionalBytes: 0 });
});
