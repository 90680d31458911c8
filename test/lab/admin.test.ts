// What operators see while real traffic of every protocol has passed: the session filter by each protocol name, wrong words, metrics and
// their filter, killing a session, the access log, and the command line, all through the running gateway.

import { beforeAll, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { meterTable } from '../../src/core/meters.ts';
import { protocolNames, protocolWords } from '../../src/core/protocols.ts';
import { address } from './support/names.ts';
import { runTurnClient, startCoturn } from './support/peers/coturn.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { MsTurnPeer, runMsTurnClient } from './support/peers/ms-turn.ts';
import { startNginx } from './support/peers/nginx.ts';
import { startRequiringServers } from './support/peers/openssl.ts';
import { runSipe } from './support/peers/sipe.ts';
import { startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { sallyport } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** What passes before the tests look, one session or more of each. */
const expected = ['http', 'https', 'h2', 'sips', 'ms-turn', 'turn', 'turns', 'tls', 'unknown'] as const;

labFile('admin', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await startCoturn(lab.server, certificates.server);
  await startSmallServers(lab.server, certificates.server);
  await startRequiringServers(lab.server, certificates);
  await MsTurnPeer.start(lab.server, 443);
}, (file) => {
  describe.each([0, 2])('workers %i', (workers) => {
    const at = gatewayFor(file, { mode: 'redirect', workers });

    beforeAll(async () => {
      const { client } = file.lab;
      const { caFile, caFolder } = at.gateway;
      await curl(client, { server: 'https', caFile });
      await curl(client, { server: 'https', caFile, http: '2' });
      await client.mustRun(['curl', '-sS', `http://${address('plain').name}/`]);
      await runSipe(client, { server: address('sip'), port: 443, caFolder, staySeconds: 0 });
      await runMsTurnClient(client, { port: 443 });
      await runTurnClient(client, { tls: false, messages: 2 });
      await runTurnClient(client, { tls: true, messages: 2 });
      await curl(client, { server: 'required-tls13', caFile: file.certificates.rootFile, more: ['-4', '--cert', file.certificates.user.certFile, '--key', file.certificates.user.keyFile] });
      await talk(client, { host: address('echo').v4, port: 443, tls: { caFile, name: address('echo').name }, say: [{ text: 'STRANGE words\n' }], untilBytes: 5 });
      await curl(client, { server: 'expired', caFile });
      await at.gateway.waitForSession('error=UPSTREAM_CERT_EXPIRED', ({ state }) => state === 'errored');
      while ((await at.gateway.sessions('state=active')).length > 0) await sleep(100);
    });

    it('the filter by each protocol name answers exactly those', async () => {
      const all = await at.gateway.page();
      expect(all.truncated).toBe(false);
      for (const name of expected) expect(all.sessions.map(({ protocol }) => protocol)).toContain(name);
      for (const name of protocolNames) {
        const wanted = new Set(protocolWords.get(name) ?? [name]);
        const found = await at.gateway.sessions(`protocol=${name}`);
        expect([name, found.map(({ id }) => id)]).toEqual([name, all.sessions.filter(({ protocol }) => wanted.has(protocol)).map(({ id }) => id)]);
      }
    });

    it('groups and lists stand for all their names', async () => {
      const all = await at.gateway.sessions();
      const turn = await at.gateway.sessions('protocol=turn-any');
      expect(turn.map(({ id }) => id)).toEqual(all.filter(({ protocol }) => ['turn', 'turns', 'ms-turn'].includes(protocol)).map(({ id }) => id));
      const two = await at.gateway.sessions('protocol=sips,ms-turn');
      expect(new Set(two.map(({ protocol }) => protocol))).toEqual(new Set(['sips', 'ms-turn']));
    });

    it('the other filters find what they name', async () => {
      const { gateway } = at;
      expect((await gateway.sessions('action=tunnel')).every(({ action }) => action === 'tunnel')).toBe(true);
      expect(await gateway.sessions('error=UPSTREAM_CERT_EXPIRED')).toHaveLength(1);
      expect((await gateway.sessions(`sni=*.lab.test & service=sip`)).length).toBe(0);
      expect((await gateway.sessions(`sni=sip.lab.test`)).map(({ protocol }) => protocol)).toEqual(['sips']);
      expect(await gateway.sessions(`destination=${address('av').v4}/32`)).toMatchObject([{ protocol: 'ms-turn' }]);
      expect((await gateway.sessions('client=10.99.0.0/16')).length).toBe(0);
      expect((await gateway.sessions('state=active')).length).toBe(0);
    });

    it.each([['protocol=sipz', 'sips'], ['protocol=sipz', 'ms-turn'], ['state=open', 'active'], ['action=allow', 'intercept'], ['error=NOPE', 'NOT_TLS'], ['protokol=sip', 'protocol']])(
      'a wrong word (%s) is a 400 that lists the right ones (%s)', async (filter, right) => {
        const { status, body } = await at.gateway.api(`/api/sessions?${filter}`);
        expect(status).toBe(400);
        expect(body).toContain(right);
      },
    );

    it('one session by its id, and none by another', async () => {
      const [first] = await at.gateway.sessions('protocol=sips');
      const found = await at.gateway.api(`/api/sessions/${first?.id ?? ''}`);
      expect(found.status).toBe(200);
      expect(JSON.parse(found.body)).toEqual(first);
      expect((await at.gateway.api('/api/sessions/nobody')).status).toBe(404);
    });

    it('metrics have the families of the table, and values that fit the sessions', async () => {
      const { status, body } = await at.gateway.api('/metrics');
      expect(status).toBe(200);
      for (const [name, { kind }] of Object.entries(meterTable)) expect(body).toContain(`# TYPE sallyport_${name} ${kind}\n`);
      const all = await at.gateway.sessions();
      for (const name of expected) {
        expect([name, await at.gateway.metric('sessions_total', { protocol: name })]).toEqual([name, all.filter(({ protocol }) => protocol === name).length]);
      }
      expect(await at.gateway.metric('sessions_active')).toBe(0);
      expect(await at.gateway.metric('tunnelled_on_error_total', { error: 'UPSTREAM_WANTS_CLIENT_CERT' })).toBe(1);
      expect(await at.gateway.metric('certificates_issued_total')).toBeGreaterThan(0);
      expect(await at.gateway.metric('internal_errors_total')).toBe(0);
    });

    it('the metrics filter keeps the session series of those protocols only', async () => {
      const samples = await at.gateway.metrics('?protocol=sips,ms-turn');
      const protocols = samples.filter(({ name }) => name.startsWith('sallyport_session')).map(({ labels }) => labels['protocol']);
      expect(new Set(protocols)).toEqual(new Set(['sips', 'ms-turn']));
      expect((await at.gateway.api('/metrics?protocol=sipz')).status).toBe(400);
    });

    it('health, readiness, summary, and a path that is none', async () => {
      expect((await at.gateway.api('/healthz')).status).toBe(200);
      expect((await at.gateway.api('/readyz')).status).toBe(200);
      const summary = await at.gateway.api('/api/summary');
      expect(JSON.parse(summary.body)).toMatchObject({ active: 0, byProtocol: { sips: 1, 'ms-turn': 1 } });
      expect((await at.gateway.api('/api/nothing')).status).toBe(404);
    });

    it('the access log has one line for each session', async () => {
      const all = await at.gateway.sessions();
      const lines = at.gateway.accessLog();
      expect(new Set(lines.map((line) => line['id']))).toEqual(new Set(all.map(({ id }) => id)));
      expect(lines).toHaveLength(all.length);
    });

    it('the command line shows the same sessions', async () => {
      const shown = await file.lab.gateway.mustRun([...sallyport, 'sessions', '-c', at.gateway.configFile, 'protocol=sips', '--json']);
      expect(shown).toContain((await at.gateway.sessions('protocol=sips'))[0]?.id);
      const table = await file.lab.gateway.mustRun([...sallyport, 'sessions', '-c', at.gateway.configFile]);
      for (const name of expected) expect(table).toContain(name);
    });

    it('loopback without a token is read-only; the token kills a session, and its connection ends', async () => {
      const plan = { host: address('echo').v4, port: 443, tls: { caFile: at.gateway.caFile, name: address('echo').name }, say: [{ text: 'STRANGE words\n' }] };
      const talking = talk(file.lab.client, plan);
      const { id } = await at.gateway.waitForSession('state=active', ({ protocol }) => protocol === 'unknown');
      const refused = await at.gateway.api(`/api/sessions/${id}`, 'DELETE');
      expect([401, 403]).toContain(refused.status);
      expect(await at.gateway.kill(id)).toBeLessThan(300);
      expect((await talking).end).not.toBe('timeout');
      await at.gateway.waitForSession('error=KILLED_BY_OPERATOR', (session) => session.id === id && session.state === 'errored');
    });
  });
});
