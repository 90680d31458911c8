// Several processes as one gateway: two workers share the listeners, and session ids, pages, limits per client, metrics and kill hold
// across them.

import { describe, expect, it } from 'vitest';
import { modes } from './support/config.ts';
import { address, network } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import type { Session } from '../../src/core/session.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const connections = 40;
const perClientMax = 6;

labFile('workers', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startSmallServers(lab.server, certificates.server);
}, (file) => {
  describe.each(modes)('through %s', (mode) => {
    const at = gatewayFor(file, { mode, workers: 2 });

    it('both workers take connections, and every id is its own', async () => {
      const fetchAll = async (): Promise<void> => {
        for (let done = 0; done < connections; done += 10) {
          const results = await Promise.all(Array.from({ length: 10 }, (_, index) => curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile, more: [index % 2 === 0 ? '-4' : '-6'] })));
          for (const { stdout, stderr } of results) expect([stdout, stderr]).toEqual([greeting('https'), '']);
        }
      };
      const { sessions } = await at.gateway.during(fetchAll, { count: connections });
      expect(sessions).toHaveLength(connections);
      expect(new Set(sessions.map(({ id }) => id)).size).toBe(connections);
      for (const session of sessions) expect(session).toMatchObject({ protocol: 'https', action: 'intercept', error: null });
      expect(at.gateway.workerPids()).toHaveLength(2);
      expect(await at.gateway.metric('sessions_total', { protocol: 'https' })).toBe(connections);
    });

    it('pages by cursor give each session once, newest first', async () => {
      const seen: Session[] = [];
      let cursor: string | null = null;
      do {
        const page = await at.gateway.page('', { limit: '7', ...(cursor === null ? {} : { cursor }) });
        expect(page.sessions.length).toBeLessThanOrEqual(7);
        expect(page.total).toBe(connections);
        seen.push(...page.sessions);
        ({ cursor } = page);
      } while (cursor !== null);
      expect(new Set(seen.map(({ id }) => id)).size).toBe(connections);
      expect(seen).toHaveLength(connections);
      const times = seen.map(({ startedAt }) => startedAt);
      expect(times).toEqual(times.toSorted((a, b) => b - a));
      for (const { id } of seen) expect((await at.gateway.api(`/api/sessions/${id}`)).status).toBe(200);
    });

    it('kill reaches a session whichever worker holds it', async () => {
      for (let round = 0; round < 4; round += 1) {
        const plan = { host: address('echo').v4, port: 443, tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: `STRANGE ${round}\n` }] };
        const talking = talk(file.lab.client, plan);
        const { id } = await at.gateway.waitForSession('state=active', ({ protocol }) => protocol === 'unknown');
        expect(await at.gateway.kill(id)).toBeLessThan(300);
        expect((await talking).end).not.toBe('timeout');
        await at.gateway.waitForSession('error=KILLED_BY_OPERATOR', (session) => session.id === id);
      }
    });
  });

  describe('with a limit per client', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2, limits: { sessionsPerClientMax: perClientMax } });

    it('it holds over both workers, and others are not kept out', async () => {
      const [greedy, modest] = network.clients;
      const hold = (localAddress: string) => talk(file.lab.client, {
        host: address('echo').v4, port: 443, localAddress, tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: 'STRANGE\n' }],
        untilBytes: 8, holdMs: 4_000, timeoutMs: 8_000,
      });
      const tries = perClientMax + 6;
      const work = async () => {
        const greedyTalks = Array.from({ length: tries }, () => hold(greedy));
        const modestTalk = hold(modest);
        return { greedy: await Promise.all(greedyTalks), modest: await modestTalk };
      };
      const { result, sessions } = await at.gateway.during(work, { count: tries + 1, waitMs: 15_000 });
      expect(result.greedy.filter(({ end }) => end === 'left')).toHaveLength(perClientMax);
      expect(result.modest.end).toBe('left');
      expect(sessions.filter(({ error }) => error === 'CLIENT_SESSIONS_FULL')).toHaveLength(tries - perClientMax);
      expect(sessions.filter(({ error, client }) => error === null && client.ip === greedy)).toHaveLength(perClientMax);
      expect(await at.gateway.metric('limits_hit_total', { limit: 'sessionsPerClientMax' })).toBe(tries - perClientMax);
      // The places are free again.
      const again = await Promise.all(Array.from({ length: perClientMax }, () => talk(file.lab.client, {
        host: address('echo').v4, port: 443, localAddress: greedy, tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: 'STRANGE\n' }], untilBytes: 8,
      })));
      expect(again.every(({ end }) => end === 'left')).toBe(true);
    });
  });
});
