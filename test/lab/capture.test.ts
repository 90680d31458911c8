// Decrypted captures and key logs of real traffic, read by tshark: SIP out of TLS, HTTP out of TLS, MS-TURN with its framing; only for those with
// the token, only where the config allows it, told in the log, and the encrypted side of a real capture opens with the key log.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { address } from './support/names.ts';
import { startKamailio } from './support/peers/kamailio.ts';
import { MsTurnPeer, runMsTurnClient } from './support/peers/ms-turn.ts';
import { greeting, startNginx } from './support/peers/nginx.ts';
import { runSipe } from './support/peers/sipe.ts';
import { runSippCalls, startSippServer, startSippTunnel, successfulCalls } from './support/peers/sipp.ts';
import { startSmallServers, talk } from './support/peers/small.ts';
import { curl } from './support/peers/web.ts';
import { repository } from './support/rules.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const script = join(repository, 'examples/wireshark/ms-turn.lua');

labFile('capture', async ({ lab, certificates }) => {
  await startNginx(lab.server, certificates);
  await startKamailio(lab.server, certificates.server);
  await startSippServer(lab.server, certificates.server);
  await startSmallServers(lab.server, certificates.server);
  await MsTurnPeer.start(lab.server, 443);
}, (file) => {
  describe('where the config allows it', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 2, capture: { keylog: 'keys.log', pcap: 'captures' }, limits: { captureFileBytesMax: 65_536, captureFilesMax: 3 } });
    const folder = (): string => join(at.gateway.stateFolder, 'captures');
    const order = async (method: string, body?: object): Promise<{ status: number; body: string }> => {
      const token = readFileSync(join(at.gateway.stateFolder, 'admin.token'), 'utf8').trim();
      const { stdout } = await file.lab.gateway.run([
        'curl', '-sS', '-m', '20', '-X', method, '-H', `Authorization: Bearer ${token}`, '-H', 'Content-Type: application/json', '-w', '\n%{http_code}',
        ...(body === undefined ? [] : ['-d', JSON.stringify(body)]), 'http://127.0.0.1:9090/api/capture',
      ]);
      const cut = stdout.lastIndexOf('\n');
      return { status: Number(stdout.slice(cut + 1)), body: stdout.slice(0, cut) };
    };
    /** Fields of the packets that a display filter picks, over all files. */
    const read = async (filter: string, fields: readonly string[]): Promise<string[]> => {
      const lines: string[] = [];
      for (const name of readdirSync(folder()).toSorted()) {
        const printed = await file.lab.gateway.mustRun(['tshark', '-X', `lua_script:${script}`, '-r', join(folder(), name), '-Y', filter, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])], { timeoutMs: 40_000 });
        lines.push(...printed.split('\n').filter((line) => line !== ''));
      }
      return lines;
    };

    it('only the token may ask, and only for what there is', async () => {
      expect([401, 403]).toContain((await at.gateway.api('/api/capture')).status);
      expect([401, 403]).toContain((await at.gateway.api('/api/capture', 'POST')).status);
      expect(await order('POST', { filter: 'protocol=sipz' })).toMatchObject({ status: 400, body: expect.stringContaining('sips') });
      expect((await order('POST', { seconds: 0 })).status).toBe(400);
      expect((await order('POST', { folder: '/etc' })).status).toBe(400);
      expect(JSON.parse((await order('GET')).body)).toMatchObject({ running: false, files: [] });
    });

    it('tshark reads SIP calls and MS-TURN out of it, and nothing that was not asked for', async () => {
      const { client } = file.lab;
      const { caFile, caFolder } = at.gateway;
      expect(JSON.parse((await order('POST', { filter: 'protocol=sips,ms-turn', seconds: 120 })).body)).toMatchObject({ running: true });
      await at.gateway.program.waitForOutput(/audit: a decrypted capture was started/);
      const tunnel = await startSippTunnel(client, caFile);
      expect(successfulCalls(await runSippCalls(client, 3))).toBe(3);
      await tunnel.stop();
      await runSipe(client, { server: address('sip'), port: 443, caFolder, staySeconds: 0 });
      const report = await runMsTurnClient(client, { port: 443 });
      expect(report.failure).toBeNull();
      expect((await curl(client, { server: 'https', caFile })).stdout).toBe(greeting('https'));
      while ((await at.gateway.sessions('state=active')).length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      const state = JSON.parse((await order('DELETE')).body);
      expect(state).toMatchObject({ running: false, dropped: 0 });
      expect(state.sessions).toBeGreaterThanOrEqual(3);
      await at.gateway.program.waitForOutput(/audit: the decrypted capture was ended/);

      // One packet may hold several messages.
      const sip = (await read('sip', ['sip.Method', 'sip.Status-Code'])).flatMap((line) => line.split(/[\t,]/));
      const count = (pattern: RegExp): number => sip.filter((line) => pattern.test(line)).length;
      expect(count(/^INVITE/)).toBeGreaterThanOrEqual(3);
      expect(count(/^BYE/)).toBeGreaterThanOrEqual(3);
      expect(count(/^REGISTER/)).toBeGreaterThanOrEqual(1);
      expect(count(/^200/)).toBeGreaterThanOrEqual(7);
      const turn = await read('msturn', ['msturn.message', 'msturn.type']);
      expect(turn.join('\n')).toMatch(/0x0003/);
      expect((await read('msturn.message == 0x0103', ['msturn.message'])).length).toBeGreaterThan(0);
      expect((await read('classicstun.att.type == 6 && classicstun.att.lifetime', ['msturn.message'])).length).toBeGreaterThan(0);
      expect((await read('rtp', ['rtp.version'])).length).toBe(report.dataFrames * 2);
      expect((await read('msturn.hello', ['frame.number'])).length).toBeGreaterThan(0);
      // No gap, no byte that does not belong: Wireshark's own judgement of the streams.
      expect(await read('tcp.analysis.flags || _ws.malformed', ['frame.number', 'tcp.analysis.flags'])).toEqual([]);
      expect(await read('http', ['http.request.uri'])).toEqual([]);
      expect((await read('tcp.flags.syn == 1 && frame.comment', ['frame.comment'])).join('\n')).toMatch(/session w\d-\w+, sips \(sips in tls\), server sip\.lab\.test 10\.77|fd77[^]*port 443/);
    });

    it('HTTP/2 comes out as it was spoken: heads, bodies and resets of every stream', async () => {
      const { client } = file.lab;
      const { caFile } = at.gateway;
      await order('POST', { filter: 'protocol=h2' });
      for (const path of ['/', '/not-there']) expect((await curl(client, { server: 'https', caFile, http: '2', path, more: ['-A', 'the-h2-capture'] })).facts.version).toBe('2');
      while ((await at.gateway.sessions('state=active')).length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      expect(JSON.parse((await order('DELETE')).body)).toMatchObject({ sessions: 2, dropped: 0 });
      const requests = await read('http2.headers.user_agent == "the-h2-capture"', ['http2.headers.path']);
      expect(requests.join('\n')).toMatch(/^\/\n\/not-there/m);
      const answers = (await read('http2.headers.status', ['http2.headers.status'])).join('\n');
      expect(answers).toMatch(/200/);
      expect(answers).toMatch(/404/);
      expect((await read('http2.data.data', ['http2.data.data'])).join('')).toContain(Buffer.from(greeting('https')).toString('hex'));
      expect(await read('tcp.analysis.flags || _ws.malformed', ['frame.number', 'tcp.analysis.flags'])).toEqual([]);
    });

    it('HTTP and what is not known come out byte by byte; files are private, bounded in size and number', async () => {
      const { client } = file.lab;
      const { caFile } = at.gateway;
      await order('POST', { filter: 'client=10.77.1.0/24' });
      await Promise.all(Array.from({ length: 12 }, () => curl(client, { server: 'https', caFile, more: ['-4'] })));
      for (let round = 0; round < 8; round += 1) {
        const text = `STRANGE ${'x'.repeat(30_000)}\n`;
        await talk(client, { host: address('echo').v4, port: 443, tls: { caFile, name: address('echo').name }, say: [{ text }], untilBytes: text.length });
      }
      await order('DELETE');
      const names = readdirSync(folder());
      const workers = new Set(names.map((name) => name.split('-')[2]));
      for (const worker of workers) expect(names.filter((name) => name.split('-')[2] === worker).length).toBeLessThanOrEqual(3);
      for (const name of names) {
        const { size, mode } = statSync(join(folder(), name));
        expect(size).toBeLessThan(65_536 * 2);
        expect(mode & 0o077).toBe(0);
      }
      expect(statSync(folder()).mode & 0o077).toBe(0);
      expect((await read('tcp.payload contains "STRANGE xxx"', ['frame.number'])).length).toBeGreaterThan(0);
      for (const name of names) await file.lab.gateway.mustRun(['capinfos', '-c', join(folder(), name)]);
    });

    it('the key log opens a capture of the wire, on both sides', async () => {
      const { lab } = file;
      const wires = await Promise.all((['lan', 'wan'] as const).map(async (device) => {
        const path = join(lab.gateway.folder, `wire-${device}.pcap`);
        return { path, program: await lab.gateway.spawn(`wire-${device}`, ['tcpdump', '-i', device, '--immediate-mode', '-U', '-n', '-s', '0', '-Z', 'root', '-w', path, 'tcp port 443'], { says: /listening on/ }) };
      }));
      for (const http of ['1.1', '2'] as const) expect((await curl(lab.client, { server: 'https', caFile: at.gateway.caFile, http, path: '/', more: ['-A', 'the-key-log-test'] })).stdout).toBe(greeting('https'));
      await new Promise((resolve) => setTimeout(resolve, 700));
      const keys = join(at.gateway.stateFolder, 'keys.log');
      expect(statSync(keys).mode & 0o077).toBe(0);
      for (const { path, program } of wires) {
        await program.stop();
        const seen = await lab.gateway.mustRun(['tshark', '-o', `tls.keylog_file:${keys}`, '-r', path, '-Y', 'http.user_agent == "the-key-log-test" || http2.headers.user_agent == "the-key-log-test"', '-T', 'fields', '-e', 'frame.number'], { timeoutMs: 40_000 });
        expect(seen.trim().split('\n').filter((line) => line !== '')).toHaveLength(2);
      }
    });
  });

  describe('where it does not', () => {
    const at = gatewayFor(file, { mode: 'redirect', workers: 0 });

    it('there is no such thing', async () => {
      expect((await at.gateway.api('/api/capture')).status).toBe(404);
      expect((await curl(file.lab.client, { server: 'https', caFile: at.gateway.caFile })).stdout).toBe(greeting('https'));
      expect(readdirSync(at.gateway.stateFolder).filter((name) => /captures|keys/.test(name))).toEqual([]);
    });
  });
});
