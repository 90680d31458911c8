// What operators do to a gateway while people talk through it: another config, a worker's death, an orderly end, a sudden end and the start
// after it. Counted are the flows that are lost: only those that must be. The doctor then looks at a gateway made from nothing.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { makeRoot } from '../support/certs.ts';
import { describeResult, type Program } from '../support/program.ts';
import type { Talk, TalkResult } from './peers/talk.ts';
import { Gateway } from './support/gateway.ts';
import { address, network } from './support/names.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { Linphone } from './support/peers/linphone.ts';
import { MsTurnPeer, runNice } from './support/peers/ms-turn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { runSipe } from './support/peers/sipe.ts';
import { startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { repository, sallyport } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const graceMs = 6_000;
/** Conversations held at once: enough for both workers to have some. */
const talkers = 12;

labFile('operations', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await startSmallServers(lab.server, certificates.server);
  await MsTurnPeer.start(lab.server, 443);
}, (file) => {
  /** An echo that is spoken to again after `pauseMs`: it leaves with both echoes, or was lost. */
  const conversation = (caFile: string, pauseMs: number, more: Partial<Talk> = {}): Promise<TalkResult> => talk(file.lab.client, {
    host: address('echo').v4, port: 443, tls: { caFile, name: address('echo').name },
    say: [{ text: 'STRANGE one\n' }, { text: 'STRANGE two\n', afterBytes: 12, afterMs: pauseMs }], untilBytes: 24, timeoutMs: 40_000, ...more,
  });
  /** Speaks once and stays until it is sent away. */
  const staying = (caFile: string): Promise<TalkResult> => conversation(caFile, 0, { say: [{ text: 'STRANGE one\n' }] });
  /** The talkers' sessions once all of them have been heard. */
  const talking = async (gateway: Gateway, count: number) => {
    for (const end = Date.now() + 20_000; ;) {
      const sessions = (await gateway.sessions('state=active & protocol=unknown')).filter(({ bytes }) => bytes.toClient > 0);
      if (sessions.length >= count) return sessions;
      if (Date.now() > end) throw new Error(`only ${sessions.length} of ${count} talk`);
      await sleep(100);
    }
  };
  const web = async (caFile: string): Promise<string> => (await curl(file.lab.client, { server: 'https', caFile })).stdout;

  describe('while it runs', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2, limits: { workerRestartMs: 200 } });
    const change = (edit: (config: ConfigInput) => void): void => {
      const config: ConfigInput = parse(readFileSync(at.gateway.configFile, 'utf8'));
      edit(config);
      at.gateway.policyChanged = true;
      writeFileSync(at.gateway.configFile, stringify(config));
    };
    const post = async (path: string, tokenFile = 'admin.token'): Promise<{ status: number; body: string }> => {
      const token = readFileSync(join(at.gateway.stateFolder, tokenFile), 'utf8').trim();
      const { stdout } = await file.lab.gateway.run(['curl', '-sS', '-m', '20', '-X', 'POST', '-H', `Authorization: Bearer ${token}`, '-w', '\n%{http_code}', `http://127.0.0.1:9090${path}`]);
      const cut = stdout.lastIndexOf('\n');
      return { status: Number(stdout.slice(cut + 1)), body: stdout.slice(0, cut) };
    };

    it('a reload by SIGHUP and by the API: no flow is lost, new ones are judged anew, a bad config changes nothing', async () => {
      const { gateway } = at;
      const talks = Array.from({ length: talkers }, () => conversation(gateway.caFile, 10_000));
      const relay = runNice(file.lab.client, { kind: 'tls', port: 443, holdSeconds: 6 });
      await talking(gateway, talkers);
      const before = (await gateway.sessions('state=active')).map(({ id }) => id);
      change((config) => config.policy?.ssl?.unshift({ name: 'web-closed', when: { sni: ['https.lab.test'] }, then: 'deny' }));
      gateway.program.signal('SIGHUP');
      await gateway.program.waitForOutput(/config reloaded/);
      expect((await curl(file.lab.client, { server: 'https', caFile: gateway.caFile })).code).not.toBe(0);
      appendFileSync(gateway.configFile, 'servcies: []\n');
      gateway.program.signal('SIGHUP');
      await gateway.program.waitForOutput(/the config was not reloaded; the old one stays in force/);
      expect(await post('/api/reload', 'read.token')).toMatchObject({ status: 403, body: expect.stringContaining('READ_ONLY') });
      const refused = await post('/api/reload');
      expect(refused).toMatchObject({ status: 422, body: expect.stringContaining('servcies') });
      change((config) => {
        Reflect.deleteProperty(config, 'servcies');
        config.policy?.ssl?.shift();
      });
      expect(await post('/api/reload')).toMatchObject({ status: 200 });
      expect(await web(gateway.caFile)).toBe(greeting('https'));
      const still = new Set((await gateway.sessions('state=active')).map(({ id }) => id));
      expect(before.filter((id) => !still.has(id))).toEqual([]);
      expect((await Promise.all(talks)).map(({ end, received }) => `${end} ${received.bytes}`)).toEqual(Array.from({ length: talkers }, () => 'left 24'));
      expect((await relay).code).toBe(0);
    });

    it('a changed file is taken without a word, and no flow is lost by it', async () => {
      const { gateway } = at;
      const talks = Array.from({ length: 4 }, () => staying(gateway.caFile));
      const ids = (await talking(gateway, talks.length)).map(({ id }) => id);
      change((config) => config.policy?.ssl?.unshift({ name: 'web-closed', when: { sni: ['https.lab.test'] }, then: 'deny' }));
      await gateway.program.waitUntil(async () => (await web(gateway.caFile)) === '', 'take the changed file', 20_000);
      change((config) => config.policy?.ssl?.shift());
      await gateway.program.waitUntil(async () => (await web(gateway.caFile)) === greeting('https'), 'take it again', 20_000);
      const still = (await gateway.sessions('state=active & protocol=unknown')).map(({ id }) => id);
      expect(ids.filter((id) => !still.includes(id))).toEqual([]);
      for (const id of ids) expect(await gateway.kill(id)).toBe(200);
      await Promise.all(talks);
    });

    it('a worker killed: its flows are lost, no other; another takes its place', async () => {
      const { gateway } = at;
      const earlier = (await gateway.sessions('state=closed')).map(({ id }) => id);
      const talks = Array.from({ length: talkers }, () => conversation(gateway.caFile, 6_000));
      const sessions = await talking(gateway, talkers);
      const workers = [...gateway.program.output().matchAll(/"worker":"(w\d+)","pid":(\d+),"msg":"worker is up"/g)].map(([, name = '', pid]) => ({ name, pid: Number(pid) }));
      expect(workers).toHaveLength(2);
      const victim = workers[0] ?? { name: '', pid: 0 };
      const its = sessions.filter(({ id }) => id.startsWith(`${victim.name}-`)).length;
      expect(its).toBeGreaterThan(0);
      expect(its).toBeLessThan(talkers);
      process.kill(victim.pid, 'SIGKILL');
      const ends = (await Promise.all(talks)).map(({ end, received }) => `${end} ${received.bytes}`);
      expect(ends.filter((end) => end === 'left 24')).toHaveLength(talkers - its);
      await gateway.program.waitUntil(() => gateway.workerPids().length === 2, 'start another worker');
      await gateway.program.waitUntil(async () => (await gateway.api('/readyz')).status === 200, 'become ready again');
      for (let round = 0; round < 6; round += 1) expect(await web(gateway.caFile)).toBe(greeting('https'));
      // What had ended before is still to be seen, the dead one's too; what it held is gone from the table, and nothing is left half open.
      const shown = new Set((await gateway.sessions('state=closed')).map(({ id }) => id));
      expect(earlier.filter((id) => id.startsWith(`${victim.name}-`)).length).toBeGreaterThan(0);
      expect(earlier.filter((id) => !shown.has(id))).toEqual([]);
      await expect.poll(async () => (await gateway.sessions('state=active')).length).toBe(0);
    });
  });

  it('SIGTERM: calls, registrations and relays may end within shutdownGraceMs; what stays longer ends with SHUTDOWN', async () => {
    const gateway = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', workers: 2, limits: { shutdownGraceMs: graceMs } });
    const { client } = file.lab;
    const phone = await Linphone.start(client, { server: address('sip-5061'), port: 5061, caFile: gateway.caFile });
    expect(await phone.outcome()).toBe('registered');
    const within = [
      runSipe(client, { server: address('sip'), port: 443, caFolder: gateway.caFolder, staySeconds: 4 }),
      runNice(client, { kind: 'tls', port: 443, holdSeconds: 4 }),
    ];
    const short = conversation(gateway.caFile, 3_000);
    const endless = staying(gateway.caFile);
    await talking(gateway, 2);
    await gateway.waitForSession('protocol=ms-turn & state=active', ({ details }) => details.turn?.allocations.some(({ result }) => result === 'allocated') === true, 20_000);
    await gateway.waitForSession('protocol=sips & state=active & service=https', () => true, 20_000);
    const signalledAt = Date.now();
    gateway.program.signal('SIGTERM');
    await gateway.program.waitForOutput(/draining/);
    expect(await gateway.api('/readyz')).toMatchObject({ status: 503, body: expect.stringContaining('draining') });
    await sleep(300);
    expect((await curl(client, { server: 'https', caFile: gateway.caFile })).code).not.toBe(0);
    await phone.quit();
    expect((await Promise.all(within)).map(({ code }) => code)).toEqual([0, 0]);
    expect(await short).toMatchObject({ end: 'left', received: { bytes: 24 } });
    expect(await gateway.program.exited).toEqual({ code: 0, signal: null });
    expect(Date.now() - signalledAt).toBeGreaterThan(graceMs - 500);
    expect(Date.now() - signalledAt).toBeLessThan(graceMs + 6_000);
    expect((await endless).received.bytes).toBe(12);
    const lines = gateway.accessLog().map(({ protocol, error }) => `${String(protocol)} ${String(error)}`).filter((line) => !line.startsWith('pending'));
    expect(lines.toSorted()).toEqual(['ms-turn null', 'sips null', 'sips null', 'unknown SHUTDOWN', 'unknown null'].toSorted());
    await file.lab.gateway.mustRun([...sallyport, 'net', 'remove', '-c', gateway.configFile]);
  });

  it('SIGTERM without flows ends at once', async () => {
    const gateway = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', workers: 0, limits: { shutdownGraceMs: 60_000 } });
    expect(await web(gateway.caFile)).toBe(greeting('https'));
    const startedAt = Date.now();
    await gateway.stop();
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it('kill -9 at any moment: no process stays, the CA is the same, the CRL number never goes back, revoked stays revoked', async () => {
    const gateway = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', workers: 2 });
    const host = file.lab.gateway;
    const ca = readFileSync(gateway.caFile, 'utf8');
    const facts = async (): Promise<{ number: number; revoked: number }> => {
      const text = await host.mustRun(['sh', '-c', `curl -sSf -m 10 http://${network.gatewayToClient.v4}:9080/ssl/crl/issuer_CA.crl | openssl crl -inform DER -noout -text`]);
      const number = /X509v3 CRL Number:\s+(\S+)/.exec(text)?.[1] ?? '';
      return { number: Number(number), revoked: [...text.matchAll(/Serial Number:/g)].length };
    };
    let program: Program = gateway.program;
    let last = await facts();
    expect(last.number).toBeGreaterThan(0);
    for (let round = 1; round <= 4; round += 1) {
      const lost = staying(gateway.caFile);
      await talking(gateway, 1);
      // Longer than limits.stateSaveMs: what ended before must be there after.
      await sleep(700);
      const children = gateway.workerPids();
      const closed = (await gateway.sessions('state=closed')).map(({ id }) => id);
      if (round <= 2) {
        expect(await web(gateway.caFile)).toBe(greeting('https'));
        const leaf = await gateway.waitForSession('sni=https.lab.test', ({ tls }) => tls.leaf !== null);
        await host.mustRun([...sallyport, 'ca', 'revoke', leaf.tls.leaf?.serial ?? '', '-c', gateway.configFile]);
      }
      // In the midst of work: a revocation is on its way in the third round.
      if (round === 3) void host.run([...sallyport, 'ca', 'revoke', 'sip.lab.test', '-c', gateway.configFile]);
      process.kill(program.pid, 'SIGKILL');
      await program.exited;
      expect(['ended', 'error']).toContain((await lost).end);
      await waitFor(() => children.every((pid) => !existsSync(`/proc/${pid}`)), 'workers to follow their primary');
      program = await host.spawn(`again-${round}`, [...sallyport, 'run', '-c', gateway.configFile], { cwd: repository });
      await program.waitUntil(async () => (await gateway.api('/readyz')).status === 200, 'become ready again', 30_000);
      const now = await facts();
      expect(now.number).toBeGreaterThanOrEqual(last.number);
      expect(now.revoked).toBeGreaterThanOrEqual(Math.min(round, 1));
      last = now;
      expect(readFileSync(join(gateway.stateFolder, 'ca.pem'), 'utf8')).toBe(ca);
      // Nothing claims to go on that does not, and what had ended is still shown.
      expect(await gateway.sessions('state=active')).toEqual([]);
      const shown = new Set((await gateway.sessions('state=closed')).map(({ id }) => id));
      expect(closed.filter((id) => !shown.has(id))).toEqual([]);
      expect(await web(gateway.caFile)).toBe(greeting('https'));
      expect(() => gateway.accessLog()).not.toThrow();
      Object.assign(gateway, { program });
    }
    expect(await program.stop(20_000)).toEqual({ code: 0, signal: null });
    await host.mustRun([...sallyport, 'net', 'remove', '-c', gateway.configFile]);
  });

  describe('as a service', () => {
    const examples = join(repository, 'examples');
    /** An example with the paths of this machine. */
    const example = (path: string, changes: Readonly<Record<string, string>>): string =>
      Object.entries(changes).reduce((text, [from, to]) => text.replaceAll(from, to), readFileSync(join(examples, path), 'utf8'));

    it('systemd takes the units, and judges their exposure as low', async () => {
      const host = file.lab.gateway;
      for (const unit of ['sallyport.service', 'sallyport-net.service', 'sallyport-https.socket']) {
        writeFileSync(join(host.folder, unit), example(`systemd/${unit}`, { '/opt/sallyport': repository }));
        const verified = await host.run(['systemd-analyze', 'verify', join(host.folder, unit)], { env: { SYSTEMD_UNIT_PATH: `${host.folder}:` } });
        expect(describeResult(verified)).toBe('exit 0\n--- stdout\n\n--- stderr\n');
      }
      const security = await host.mustRun(['systemd-analyze', 'security', '--offline=true', '--threshold=25', join(host.folder, 'sallyport.service')]);
      expect(security).toContain('Overall exposure level');
    });

    it('the service manager hears that it is up, alive, reloading and ending; logrotate loses no line', { timeout: 60_000 }, async () => {
      const host = file.lab.gateway;
      const first = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', workers: 2 });
      await first.program.stop();
      const socket = join(host.folder, 'notify');
      const receiver = `import socket,sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
print("ready", flush=True)
while True: print(manager.recv(4096).decode().replace("\\n", " "), flush=True)`;
      const manager = await host.spawn('manager', ['python3', '-c', receiver, socket], { says: /^ready$/m });
      const program = await host.spawn('service', [...sallyport, 'run', '-c', first.configFile], { cwd: repository, env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '500000' } });
      Object.assign(first, { program });
      await manager.waitForOutput(/^READY=1 STATUS=/m, 30_000);
      // It listens by then: nothing is to be waited for.
      expect(await web(first.caFile)).toBe(greeting('https'));
      await manager.waitForOutput(/^WATCHDOG=1$/m);
      program.signal('SIGHUP');
      await manager.waitForOutput(/^RELOADING=1 MONOTONIC_USEC=\d+\n(?:WATCHDOG=1\n)*READY=1$/m);

      const log = join(first.stateFolder, 'access.jsonl');
      const config = join(host.folder, 'logrotate.conf');
      writeFileSync(config, example('logrotate/sallyport', {
        '/var/lib/sallyport/access.jsonl': log, '/var/lib/sallyport/requests.jsonl': join(first.stateFolder, 'requests.jsonl'), 'su sallyport sallyport': 'su root root', 'systemctl kill --kill-whom=main --signal=USR2 sallyport.service': `kill -USR2 ${program.pid}`,
      }), { mode: 0o644 });
      const before = first.accessLog().length;
      let visits = 0;
      const visiting = (async () => {
        while (visits < 12) {
          expect(await web(first.caFile)).toBe(greeting('https'));
          visits += 1;
        }
      })();
      await host.mustRun(['logrotate', '--force', '--state', join(host.folder, 'logrotate.state'), config]);
      await visiting;
      await waitFor(() => existsSync(log) && first.accessLog().length + readFileSync(`${log}.1`, 'utf8').trimEnd().split('\n').length === before + visits, 'every line to be in one file or the other');
      expect(first.accessLog().length).toBeGreaterThan(0);
      program.signal('SIGTERM');
      await manager.waitForOutput(/^STOPPING=1 STATUS=/m);
      expect(await program.exited).toEqual({ code: 0, signal: null });
      await file.lab.gateway.mustRun([...sallyport, 'net', 'remove', '-c', first.configFile]);
    });
  });

  describe('the doctor and a gateway from nothing', () => {
    const checks = async (configFile: string): Promise<Record<string, string>> => {
      const { stdout, stderr } = await file.lab.gateway.run([...sallyport, 'doctor', '-c', configFile, '--json'], { timeoutMs: 40_000 });
      if (!stdout.startsWith('{')) throw new Error(`${stdout}\n${stderr}`);
      const answer: { checks: { name: string; state: string }[] } = JSON.parse(stdout);
      return Object.fromEntries(answer.checks.map(({ name, state }) => [name, state]));
    };
    let gateway: Gateway | null = null;
    afterAll(async () => {
      await gateway?.stop();
    });

    it('twice in a row: started, rules in force, traffic passes, the doctor finds nothing; stopped and removed, no trace', async () => {
      for (let round = 0; round < 2; round += 1) {
        gateway = await Gateway.start(file.lab, file.certificates, { mode: round === 0 ? 'redirect' : 'tproxy', workers: 0 });
        expect(await web(gateway.caFile)).toBe(greeting('https'));
        const found = await checks(gateway.configFile);
        // The lab has no name server: that, and nothing else, is found.
        expect(Object.entries(found).filter(([, state]) => state === 'fail').map(([name]) => name)).toEqual(['dns']);
        expect(found).toMatchObject({ 'ip-forward': 'ok', 'ip6-forward': 'ok', nftables: 'ok', ca: 'ok', crl: 'ok', clock: 'ok' });
        await gateway.stop();
        expect(await file.lab.gateway.mustRun(['nft', 'list', 'ruleset'])).toBe('');
        const left = await file.lab.gateway.mustRun(['ip', 'rule', 'show']);
        expect(left.trim().split('\n')).toHaveLength(3);
        expect(await checks(gateway.configFile)).toMatchObject({ nftables: 'fail', crl: 'fail', ca: 'ok' });
        gateway = null;
      }
    });

    it('an expired CA and a CRL that cannot be reached are found by name, each with its mend', async () => {
      gateway = await Gateway.start(file.lab, file.certificates, { mode: 'redirect', crl: { host: `${address('crl').v4}:81` } });
      expect(await checks(gateway.configFile)).toMatchObject({ crl: 'fail', ca: 'ok', nftables: 'ok' });
      const dayMs = 86_400_000;
      const old = makeRoot('expired', { notBefore: new Date(Date.now() - 30 * dayMs), notAfter: new Date(Date.now() - dayMs) });
      const caFile = join(gateway.stateFolder, 'ca.pem');
      const good = readFileSync(caFile);
      writeFileSync(caFile, old.certPem);
      const result = await file.lab.gateway.run([...sallyport, 'doctor', '-c', gateway.configFile], { timeoutMs: 40_000 });
      writeFileSync(caFile, good);
      expect(describeResult(result)).toMatch(/fail {2}ca\s+the CA has expired on [^]*-> sallyport ca new/);
      expect(result.code).toBe(1);
    });
  });
});

async function waitFor(test: () => boolean, what: string, waitMs = 8_000): Promise<void> {
  for (const end = Date.now() + waitMs; !test();) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(50);
  }
}
