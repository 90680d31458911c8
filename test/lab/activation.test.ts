// Listening sockets from the service manager: named after services, transparent without any capability of the gateway's own, in one process
// and in workers; a restart refuses nobody. The real systemd-socket-activate hands over one as well.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { Gateway } from './support/gateway.ts';
import { address } from './support/names.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { startSmallServers } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { applyRules, removeRules, repository, sallyport } from './support/rules.ts';
import { labFile } from './support/suite.ts';

const manager = join(import.meta.dirname, 'peers/socket-manager.py');
/** Runs as root without the capabilities of which a transparent listener of one's own needs one. */
const withoutNetAdmin = ['setpriv', '--bounding-set=-net_admin,-net_raw', '--inh-caps=-net_admin,-net_raw'];

labFile('socket activation', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startSmallServers(lab.server, certificates.server);
}, (file) => {
  const web = (caFile: string, family: '-4' | '-6' = '-4') => curl(file.lab.client, { server: 'https', caFile, more: [family] });

  describe.each([0, 2])('with %i workers', (workers) => {
    it('sockets made transparent by the manager are taken, and a restart keeps clients waiting instead of refusing them', { timeout: 90_000 }, async () => {
      const host = file.lab.gateway;
      const gateway = await Gateway.start(file.lab, file.certificates, { mode: 'tproxy', workers });
      await gateway.program.stop();
      const alone = await host.run([...withoutNetAdmin, ...sallyport, 'run', '-c', gateway.configFile], { cwd: repository, timeoutMs: 30_000 });
      expect(alone.code).toBe(1);
      expect(alone.stderr).toMatch(/TPROXY needs CAP_NET_ADMIN/);

      const sockets = [['https', 8443, true], ['http', 8080, true], ['sip', 8061, true], ['turn', 8478, true]];
      const program = await host.spawn('manager', ['python3', manager, JSON.stringify(sockets), ...withoutNetAdmin, ...sallyport, 'run', '-c', gateway.configFile], { cwd: repository });
      Object.assign(gateway, { program });
      const ready = (): Promise<void> => program.waitUntil(async () => (await gateway.api('/readyz')).status === 200, 'become ready', 30_000);
      await ready();
      for (const family of ['-4', '-6'] as const) expect((await web(gateway.caFile, family)).stdout).toBe(greeting('https'));
      const { sessions } = await gateway.during(() => Promise.all(Array.from({ length: 12 }, () => web(gateway.caFile))), { count: 12, waitMs: 15_000 });
      expect(sessions.filter(({ error }) => error !== null)).toEqual([]);
      for (const { destination, service } of sessions) expect([service, destination.port]).toEqual(['https', 443]);

      // Ended while clients keep coming: the sockets stay with the manager, who starts it again.
      let on = true;
      const answers: string[] = [];
      const visits = (async () => {
        while (on) {
          const { stdout, code } = await web(gateway.caFile);
          answers.push(`${String(code)} ${stdout}`);
        }
      })();
      const pid = Number(/started (\d+)/.exec(program.output())?.[1]);
      process.kill(pid, 'SIGTERM');
      await program.waitForOutput(/ended 0\nstarted/, 20_000);
      await ready();
      await sleep(1_000);
      on = false;
      await visits;
      expect(answers.length).toBeGreaterThan(2);
      expect(new Set(answers)).toEqual(new Set([`0 ${greeting('https')}`]));
      expect(await program.stop(20_000)).toEqual({ code: 0, signal: null });
      await removeRules(host, gateway.configFile);
    });
  });

  it('systemd-socket-activate hands over the socket of one service; another port than the config\'s is refused by name', { timeout: 60_000 }, async () => {
    const host = file.lab.gateway;
    const gateway = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', workers: 0 });
    await gateway.program.stop();
    const config: ConfigInput = parse(readFileSync(gateway.configFile, 'utf8'));
    const activate = (port: number, label: string) => host.spawn(label, [
      'systemd-socket-activate', '--listen', `[::]:${String(port)}`, '--fdname=https', ...sallyport, 'run', '-c', gateway.configFile,
    ], { cwd: repository, says: /Listening on/ });
    // It starts the program with the first client, who then waits until it is up.
    const program = await activate(8443, 'activated');
    await applyRules(host, gateway.configFile);
    expect((await web(gateway.caFile)).stdout).toBe(greeting('https'));
    Object.assign(gateway, { program });
    // Traffic comes before the admin listener.
    await program.waitUntil(async () => (await gateway.api('/readyz')).status === 200, 'become ready', 20_000);
    expect((await gateway.sessions('service=https')).length).toBeGreaterThan(0);
    // Its other services it has bound itself.
    expect((await file.lab.client.run(['curl', '-sS', '-m', '20', `http://${address('plain').name}/`])).code).toBe(0);
    await program.stop(20_000);

    writeFileSync(gateway.configFile, stringify({ ...config, services: config.services.map((service) => (service.name === 'https' ? { ...service, listen: '[::]:8444' } : service)) }));
    const wrong = await activate(8443, 'wrong port');
    await host.run(['curl', '-s', '-m', '5', 'http://[::1]:8443/']);
    await wrong.waitForOutput(/service https: the service manager hands over port 8443, but the config says 8444/, 20_000);
    await wrong.stop();
    await removeRules(host, gateway.configFile);
  });
});
