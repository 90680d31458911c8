// A real Prometheus scrapes a gateway of two workers under traffic: promtool has nothing to say against metrics, rules and their tests, every
// query of the dashboard is understood and names metrics that exist, and the number of series does not grow with names and addresses.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { describeResult } from '../support/program.ts';
import { address, network } from './support/names.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { MsTurnPeer, runMsTurnClient } from './support/peers/ms-turn.ts';
import { startNginx } from './support/peers/nginx.ts';
import { runSipe } from './support/peers/sipe.ts';
import { curl } from './support/peers/web.ts';
import { repository } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const examples = join(repository, 'examples/prometheus');
const prometheus = 'http://127.0.0.1:9190';
/** Distinct clients, names and paths. */
const crowdSize = 10_000;
/** A network that only the crowd lives in. */
const crowdPrefix = 'fd77:9::';
/** Room for words that had not come up before: a few error codes and classes, each with the buckets of a histogram. */
const seriesGrowthMax = 150;

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: { readonly result: readonly unknown[] };
}

labFile('prometheus', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await MsTurnPeer.start(lab.server, 443);
  await lab.client.mustRun(['sysctl', '-qw', 'net.ipv6.ip_nonlocal_bind=1']);
  await lab.client.mustRun(['ip', '-6', 'route', 'add', 'local', `${crowdPrefix}/64`, 'dev', 'lo']);
  await lab.gateway.mustRun(['ip', '-6', 'route', 'add', `${crowdPrefix}/64`, 'via', network.client6, 'dev', 'lan']);
}, (file) => {
  describe('with real traffic', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2 });
    const ask = async (query: string): Promise<Answer> => {
      const answer: Answer = JSON.parse(await file.lab.gateway.mustRun(['curl', '-sS', '-m', '10', '--data-urlencode', `query=${query}`, `${prometheus}/api/v1/query`]));
      return answer;
    };
    const samples = async (query: string): Promise<number> => (await ask(query)).data.result.length;

    /** Waits until a query has an answer. */
    const seen = async (query: string): Promise<void> => {
      for (const end = Date.now() + 20_000; await samples(query) === 0;) {
        if (Date.now() > end) throw new Error(`Prometheus has nothing for ${query}`);
        await sleep(200);
      }
    };

    beforeAll(async () => {
      const { client, gateway } = file.lab;
      const traffic = async (): Promise<void> => {
        await curl(client, { server: 'https', caFile: at.gateway.caFile });
        await curl(client, { server: 'expired', caFile: at.gateway.caFile });
        await runSipe(client, { server: address('sip'), port: 443, caFolder: at.gateway.caFolder, staySeconds: 0 });
        await runMsTurnClient(client, { port: 443 });
        await client.mustRun(['curl', '-sS', `http://${address('plain').name}/`]);
      };
      await traffic();
      const home = join(gateway.folder, 'prometheus');
      mkdirSync(home);
      const config: { global: Record<string, string> } = parse(readFileSync(join(examples, 'prometheus.yml'), 'utf8'));
      writeFileSync(join(home, 'prometheus.yml'), stringify({ ...config, global: { scrape_interval: '1s', evaluation_interval: '1s' } }));
      copyFileSync(join(examples, 'sallyport.rules.yml'), join(home, 'sallyport.rules.yml'));
      await gateway.spawn('prometheus', [
        'prometheus', `--config.file=${join(home, 'prometheus.yml')}`, `--storage.tsdb.path=${join(home, 'data')}`, '--web.listen-address=127.0.0.1:9190',
      ], { says: /Server is ready/, readyMs: 30_000 });
      await seen('up{job="sallyport"} == 1');
      await traffic();
      await seen('rate(sallyport_sessions_total{protocol="ms-turn"}[1m]) > 0');
    });

    it('the target is up, scraped as OpenMetrics, without a warning', async () => {
      const targets = await file.lab.gateway.mustRun(['curl', '-sS', `${prometheus}/api/v1/targets`]);
      expect(JSON.parse(targets)).toMatchObject({ data: { activeTargets: [{ health: 'up', lastError: '' }] } });
      const open = await file.lab.gateway.mustRun(['curl', '-sS', '-H', 'Accept: application/openmetrics-text; version=1.0.0', 'http://127.0.0.1:9090/metrics']);
      expect(open.trimEnd().endsWith('# EOF')).toBe(true);
    });

    it('promtool has nothing to say against the metrics', async () => {
      const { body } = await at.gateway.api('/metrics');
      const result = await file.lab.gateway.run(['promtool', 'check', 'metrics'], { input: `${body}\n` });
      expect(describeResult(result)).toBe('exit 0\n--- stdout\n\n--- stderr\n');
    });

    it('promtool takes the example config and rules, and each alert fires when it should', async () => {
      for (const command of [['check', 'config', 'prometheus.yml'], ['check', 'rules', 'sallyport.rules.yml'], ['test', 'rules', 'sallyport.tests.yml']]) {
        const result = await file.lab.gateway.run(['promtool', ...command], { cwd: examples });
        expect([command, result.code, describeResult(result)]).toMatchObject([command, 0, expect.stringContaining('SUCCESS')]);
      }
      const tests = readFileSync(join(examples, 'sallyport.tests.yml'), 'utf8');
      const alerts = [...readFileSync(join(examples, 'sallyport.rules.yml'), 'utf8').matchAll(/alert: (\w+)/g)].map(([, name]) => name ?? '');
      expect(alerts.length).toBeGreaterThan(4);
      const fired = new Set([...tests.matchAll(/alertname: (\w+)\n\s+exp_alerts:\n/g)].map(([, name]) => name));
      expect(alerts.filter((name) => !fired.has(name))).toEqual([]);
    });

    it('Prometheus has taken the rules, and none of them fires on a healthy gateway', async () => {
      const rules: { data: { groups: { rules: { name: string; health: string; state: string }[] }[] } } = JSON.parse(await file.lab.gateway.mustRun(['curl', '-sS', `${prometheus}/api/v1/rules`]));
      const all = rules.data.groups.flatMap((group) => group.rules);
      expect(all.map(({ name, health, state }) => `${name} ${health} ${state}`)).toEqual(all.map(({ name }) => `${name} ok inactive`));
      expect(all.length).toBeGreaterThan(4);
    });

    it('every query of dashboard and rules is understood, and names metrics that exist', async () => {
      const { body } = await at.gateway.api('/metrics');
      const families = new Set([...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', kind]) => (kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name])));
      const queries = [...dashboardQueries(), ...ruleQueries()];
      expect(queries.length).toBeGreaterThan(40);
      for (const query of queries) {
        const names = [...query.replaceAll(/"[^"]*"/g, '""').matchAll(/\b(?:sallyport|nodejs|process)_\w+/g)].map(([name]) => name);
        expect([query, names.filter((name) => !families.has(name))]).toEqual([query, []]);
        const { status, error } = await ask(query);
        expect([query, status, error]).toEqual([query, 'success', undefined]);
      }
    });

    it('the panels of what has passed show it', async () => {
      const shown = async (title: string): Promise<number> => {
        const counts = await Promise.all(dashboardQueries(title).map(samples));
        return Math.max(0, ...counts);
      };
      for (const title of ['Active sessions', 'Ended per second by protocol', 'Errors by code', 'Handshakes per second', 'HTTP requests', 'SIP messages', 'TURN media', 'Policy decisions', 'Memory']) {
        await expect.poll(() => shown(title), { timeout: 15_000, message: title }).toBeGreaterThan(0);
      }
    });

    it(`${String(crowdSize)} names, paths, methods and addresses add no series of their own`, { timeout: 180_000 }, async () => {
      const seriesCount = async (): Promise<number> => (await at.gateway.metrics()).length;
      const script = join(import.meta.dirname, 'peers/crowd.ts');
      const pass = async (count: number): Promise<number> => {
        const plan = { count, prefix: crowdPrefix, plain: address('plain').v6, tls: address('https').v6, tlsEach: 25 };
        const printed = await file.lab.client.mustRun([process.execPath, script, JSON.stringify(plan)], { timeoutMs: 170_000 });
        const { answered }: { answered: number } = JSON.parse(printed);
        return answered;
      };
      // The first of them bring up every word that such traffic has.
      await pass(100);
      const before = await seriesCount();
      const sessionsBefore = await at.gateway.metric('sessions_total');
      expect(await pass(crowdSize)).toBeGreaterThan(crowdSize * 0.9);
      while (await at.gateway.metric('sessions_active') > 0) await sleep(100);
      expect(await at.gateway.metric('sessions_total') - sessionsBefore).toBeGreaterThanOrEqual(crowdSize);
      expect(await seriesCount()).toBeLessThan(before + seriesGrowthMax);
      const { body } = await at.gateway.api('/metrics');
      expect(body).not.toMatch(/name-\d|path-\d|METHOD-|fd77|10\.77/);
    });
  });
});

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** Queries of the dashboard (of one panel, if named) with Grafana's variables filled in as it does. */
function dashboardQueries(title?: string): string[] {
  const { panels }: { panels: readonly Panel[] } = JSON.parse(readFileSync(join(repository, 'examples/grafana/sallyport.json'), 'utf8'));
  return panels.filter((panel) => title === undefined || panel.title === title).flatMap(({ targets }) => targets ?? [])
    .map(({ expr }) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h').replaceAll('$instance', '.*').replaceAll('$protocol', '.*'));
}

function ruleQueries(): string[] {
  const { groups }: { groups: readonly { rules: readonly { expr: string }[] }[] } = parse(readFileSync(join(examples, 'sallyport.rules.yml'), 'utf8'));
  return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
}
