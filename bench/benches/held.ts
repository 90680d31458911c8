// Sessions that are held: what memory each takes, and what CPU a gateway full of them takes while nothing moves.

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, memoryOf } from '../accounting.ts';
import type { Bench } from '../bench.ts';
import { handshakes, hold } from '../clients.ts';
import { origins } from '../origins.ts';
import { haproxy } from '../peers/haproxy.ts';
import { mitmproxy } from '../peers/mitmproxy.ts';
import { mockttp } from '../peers/mockttp.ts';
import { sallyport } from '../peers/sallyport.ts';
import { squid } from '../peers/squid.ts';
import { sslsplit } from '../peers/sslsplit.ts';

/** Before memory is read: buffers of the handshakes may go. */
const settleMs = 1_500;
/** Before idleness is measured: what the last handshakes left to do is done. */
const idleSettleMs = 5_000;

export const memory: Bench = {
  name: 'memory',
  title: 'Memory of a held, intercepted session',
  about: 'what an intercepted session that has fetched one page and stays open takes (PSS)',
  unit: 'KiB (PSS) per session',
  freshInstance: true,
  contestants: [sallyport(), sslsplit(), squid(), mitmproxy(), mockttp, haproxy(origins.plain)].map((peer) => ({ peer })),
  // A proxy that has worked: what is allocated once for all sessions is not a session's memory.
  warmUp: async (site, effort) => void await handshakes(site, origins.plain, effort.freshWarmUpHandshakes),
  async measure(site, { program }, effort) {
    await sleep(settleMs);
    const before = memoryOf(program.pid);
    const cpuBefore = cpuMs(program.pid);
    const holder = await hold(site, effort.heldSessions);
    try {
      await sleep(settleMs);
      const after = memoryOf(program.pid);
      const each = (bytes: number): number => bytes / effort.heldSessions / 1024;
      return {
        value: each(after.proportionalBytes - before.proportionalBytes),
        aside: {
          'RSS KiB': each(after.residentBytes - before.residentBytes), 'base MiB': before.proportionalBytes / 1024 / 1024,
          'ms CPU to open': (cpuMs(program.pid) - cpuBefore) / effort.heldSessions,
        },
      };
    } finally {
      await holder.stop();
    }
  },
};

export const idle: Bench = {
  name: 'idle',
  title: 'CPU while held sessions do nothing',
  about: 'CPU of a proxy that holds thousands of sessions on which nothing moves',
  unit: '% of a core',
  freshInstance: false,
  contestants: [sallyport(), sslsplit(), haproxy(origins.plain)].map((peer) => ({ peer })),
  async warmUp(site, effort, instance) {
    instance.beside.push(await hold(site, effort.idleSessions));
    await sleep(idleSettleMs);
  },
  async measure(_site, { program }, effort) {
    const before = cpuMs(program.pid);
    const beganAt = performance.now();
    await sleep(effort.idleSeconds * 1000);
    const percent = (100 * (cpuMs(program.pid) - before)) / (performance.now() - beganAt);
    return { value: percent, aside: { sessions: effort.idleSessions, 'PSS MiB': memoryOf(program.pid).proportionalBytes / 1024 / 1024 } };
  },
};
