import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { Admission, GrantPool, localAllowance } from '../../../src/listener/admission.ts';
import type { SharedPool } from '../../../src/listener/admission.ts';

describe('one process', () => {
  test('takes as many of one client as it may, and of all', async () => {
    const admission = new Admission(limitsWith({ sessionsMax: 3, sessionsPerClientMax: 2 }), 1, null);
    expect([await admission.admit('a'), await admission.admit('a'), await admission.admit('a')]).toEqual([null, null, 'CLIENT_SESSIONS_FULL']);
    expect([await admission.admit('b'), await admission.admit('c')]).toEqual([null, 'SESSIONS_FULL']);
    admission.release('a');
    expect([await admission.admit('c'), await admission.admit('a')]).toEqual([null, 'SESSIONS_FULL']);
  });

  test('releases of strangers, and one too many, change nothing', async () => {
    const admission = new Admission(limitsWith({ sessionsPerClientMax: 1 }), 1, null);
    admission.release('a');
    await admission.admit('a');
    admission.release('a');
    admission.release('a');
    expect(await admission.admit('a')).toBeNull();
    expect(await admission.admit('a')).toBe('CLIENT_SESSIONS_FULL');
  });
});

/** Numbers that look random and are the same each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Fleet {
  readonly workers: Admission[];
  readonly pool: GrantPool;
  /** Delivers one message between a worker and the primary, if any is under way. */
  deliver(random: () => number): boolean;
}

/** Workers whose messages to the primary, and its answers, wait until they are delivered: each worker's in order, workers in any order. */
function fleet(perClient: number, count: number, sessionsMax = 10_000): Fleet {
  const limits = limitsWith({ sessionsPerClientMax: perClient, sessionsMax });
  const pool = new GrantPool(limits, count);
  const queues: (() => void)[][] = Array.from({ length: count }, () => []);
  const workers = queues.map((queue, worker) => new Admission(limits, count, {
    take: (client) => new Promise((resolve) => queue.push(() => {
      const granted = pool.take(worker, client);
      queue.push(() => resolve(granted));
    })),
    give: (client) => void queue.push(() => pool.give(worker, client)),
  }));
  return {
    workers, pool,
    deliver(random) {
      const busy = queues.filter((queue) => queue.length > 0);
      const message = busy[Math.floor(random() * busy.length)]?.shift();
      message?.();
      return message !== undefined;
    },
  };
}

describe.each([[1, 2], [3, 2], [8, 4], [100, 2], [100, 4], [2_000, 3]])('%i sessions a client over %i workers', (perClient, count) => {
  test('never more, whatever the order of messages; all may be had again in the end', async () => {
    for (let seed = 1; seed <= 6; seed += 1) {
      const random = seeded(seed);
      const { workers, deliver } = fleet(perClient, count);
      const held: number[] = [];
      let admitted = 0;
      let most = 0;
      for (let step = 0; step < 600 + perClient * 4; step += 1) {
        const choice = random();
        if (choice < 0.5) {
          const worker = Math.floor(random() * count);
          void Promise.resolve(workers[worker]?.admit('client')).then((refusal) => {
            if (refusal !== null) return;
            held.push(worker);
            admitted += 1;
            most = Math.max(most, held.length);
          });
        } else if (choice < 0.62 && held.length > 0) {
          const [worker] = held.splice(Math.floor(random() * held.length), 1);
          workers[worker ?? 0]?.release('client');
        } else deliver(random);
        await Promise.resolve();
      }
      while (deliver(random)) await new Promise((resolve) => setImmediate(resolve));
      expect(most).toBeLessThanOrEqual(perClient);
      expect(admitted).toBeGreaterThan(0);
      for (const worker of held.splice(0)) workers[worker]?.release('client');
      while (deliver(random)) await new Promise((resolve) => setImmediate(resolve));
      const again = Array.from({ length: perClient }, () => workers[0]?.admit('client'));
      while (deliver(random)) await new Promise((resolve) => setImmediate(resolve));
      const refused = (await Promise.all(again)).filter((refusal) => refusal !== null).length;
      // One worker alone lacks only the other workers' allowances.
      expect(refused).toBe((count - 1) * localAllowance(limitsWith({ sessionsPerClientMax: perClient }), count));
    }
  });
});

test('small limits are exact: every worker may have all of them', async () => {
  const { workers, deliver } = fleet(3, 4);
  const answers = workers.map((worker) => worker.admit('client'));
  while (deliver(() => 0.5)) await Promise.resolve();
  expect((await Promise.all(answers)).filter((answer) => answer === null)).toHaveLength(3);
});

test('sessionsMax holds over all workers', async () => {
  const { workers } = fleet(1_000, 2, 5);
  const admitted = (await Promise.all(workers.flatMap((worker) => Array.from({ length: 5 }, (_unused, client) => worker.admit(String(client)))))).filter((answer) => answer === null);
  expect(admitted.length).toBeLessThanOrEqual(5);
  expect(admitted.length).toBeGreaterThanOrEqual(4);
});

test('a pool that cannot be asked grants nothing, and the place is not lost', async () => {
  const broken: SharedPool = { take: () => Promise.reject(new Error('gone')), give: () => {} };
  const admission = new Admission(limitsWith({ sessionsPerClientMax: 1, sessionsMax: 2 }), 2, broken);
  expect(await admission.admit('a')).toBe('CLIENT_SESSIONS_FULL');
  expect(await admission.admit('a')).toBe('CLIENT_SESSIONS_FULL');
});

test('what a worker held is free again when it is gone; gifts of nothing are ignored', () => {
  const pool = new GrantPool(limitsWith({ sessionsPerClientMax: 3 }), 2);
  expect([pool.take(0, 'a'), pool.take(0, 'a'), pool.take(1, 'a'), pool.take(1, 'a')]).toEqual([true, true, true, false]);
  pool.workerGone(0);
  expect([pool.take(1, 'a'), pool.take(1, 'a'), pool.take(1, 'a')]).toEqual([true, true, false]);
  pool.give(0, 'a');
  pool.give(1, 'b');
  expect(pool.take(0, 'a')).toBe(false);
  pool.give(1, 'a');
  expect(pool.take(0, 'a')).toBe(true);
});
