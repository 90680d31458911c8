// What streams for long through the transparent gateway: gRPC in all four kinds, WebSocket over HTTP/1.1 and HTTP/2, server-sent events, large
// bodies with flat memory, and slow clients beside a fast one. SALLYPORT_LAB_TRANSFER_MIB sets how large (4096 was run: docs/http.md).

import { closeSync, mkdirSync, openSync, ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openBrowser } from '../support/browser.ts';
import { describeResult } from '../support/program.ts';
import type { RunResult } from '../support/program.ts';
import type { Gateway } from './support/gateway.ts';
import { address } from './support/names.ts';
import { callGrpc, startGrpc, startSlowClients, startWebOrigin, startWebSockets, talkWebSocket } from './support/peers/web-peers.ts';
import { gatewayFor, labFile } from './support/suite.ts';

const miB = 1024 * 1024;
const transferBytes = Number(process.env['SALLYPORT_LAB_TRANSFER_MIB'] ?? 256) * miB;
const transferMs = 60_000 + (transferBytes / miB) * 200;
/** Nothing of a body is kept: what grows is buffers of both sockets, TLS and garbage not yet collected. */
const memoryGrowthBytesMax = 96 * miB;
const slow = { takers: 70, givers: 30 } as const;
/** What one slow client may hold of a body on its way through both TLS connections. */
const slowClientBytesMax = miB / 2;
/** Bytes a second at which slow clients count as slow. */
const stillBytes = 4 * miB;
const wsLengths = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];

labFile('HTTP streams', async ({ lab, certificates }) => {
  const git = join(lab.server.folder, 'git');
  mkdirSync(git);
  await startWebOrigin(lab.server, certificates.server, git);
  await startGrpc(lab.server, certificates.server);
  await startWebSockets(lab.server, certificates.server);
}, (file) => {
  const node = address('node').name;

  describe.each(['redirect', 'tproxy'] as const)('through %s', (mode) => {
    const at = gatewayFor(file, { mode, workers: mode === 'redirect' ? 2 : 0 });

    it('gRPC: unary, client, server and bidirectional streams, trailers, statuses, a cancelled call', async () => {
      const { result, sessions } = await at.gateway.during(() => callGrpc(file.lab.client, at.gateway.caFile));
      expect(result).toEqual({
        unary: { text: 'you said hello', initial: 'one', trailing: 'two' }, failed: { code: 5, details: 'no such thing: ü' }, clientStream: '200 2000000',
        serverStream: { messages: 200, bytes: 2_000_000 }, bidi: ['re: 0', 're: 1', 're: 2', 're: 3', 're: 4'], cancelled: 1,
      });
      expect(sessions).toMatchObject([{ protocol: 'h2', action: 'intercept', error: null, details: { http: { requests: 6, method: 'POST' } } }]);
    });

    it.each([['websocket', false, 'https'], ['websocket-h2', true, 'h2']] as const)('WebSocket: %s echoes every length (HTTP/2: %s)', async (server, h2, protocol) => {
      const url = `wss://${address(server).name}/`;
      const { result, sessions } = await at.gateway.during(() => talkWebSocket(file.lab.client, { url, caFile: at.gateway.caFile, h2 }));
      expect(result).toEqual({ echoed: wsLengths, closed: { code: 4_001, reason: 'enough' } });
      expect(sessions).toMatchObject([{ protocol, error: null, details: { http: { upgraded: 'websocket', status: h2 ? 200 : 101 } } }]);
    });
  });

  describe('one process', () => {
    const at = gatewayFor(file, { mode: 'redirect' });

    it.each(['websocket', 'websocket-h2'] as const)('Chromium talks WebSocket with %s', async (server) => {
      const browser = await openBrowser({ namespace: file.lab.client.namespace, folder: file.lab.client.folder, roots: [at.gateway.caFile] });
      try {
        const { result, sessions } = await at.gateway.during(async () => {
          await browser.page.goto(`https://${address(server).name}/`);
          const heard: unknown = await browser.page.evaluate(`new Promise((resolve, reject) => {
            const socket = new WebSocket('wss://' + location.host + '/talk');
            socket.onerror = () => reject(new Error('no WebSocket'));
            socket.onopen = () => socket.send('from a browser');
            socket.onmessage = ({ data }) => { socket.close(); resolve(data); };
          })`);
          await browser.close();
          return heard;
        }, { waitMs: 20_000 });
        expect(result).toBe('from a browser');
        const upgraded = sessions.filter(({ details }) => details.http?.upgraded === 'websocket');
        expect(upgraded).toMatchObject([{ protocol: server === 'websocket' ? 'https' : 'h2', error: null }]);
      } finally {
        await browser.close();
      }
    });

    it.each(['--http1.1', '--http2'])('server-sent events arrive one by one (%s)', async (flag) => {
      const curl = ['curl', '-sS', '-N', flag, '--cacert', at.gateway.caFile];
      const listener = await file.lab.client.spawn('events', [...curl, `https://${node}/events`]);
      await listener.waitForOutput(/: hello\n/, 20_000);
      for (let count = 0; count < 3; count += 1) {
        const before = listener.output().match(/^data: /gm)?.length ?? 0;
        await file.lab.client.mustRun([...curl, `https://${node}/tick`]);
        await listener.waitUntil(() => (listener.output().match(/^data: event \d+\n\n/gm)?.length ?? 0) === before + 1, 'hear of the event', 10_000);
      }
      await listener.stop();
    });

    it.each(['--http1.1', '--http2'])(`${String(transferBytes / miB)} MiB down and up with flat memory (%s)`, { timeout: 4 * transferMs }, async (flag) => {
      const curl = ['curl', '-sS', '-m', String(transferMs / 1000), flag, '--cacert', at.gateway.caFile];
      const body = join(file.lab.client.folder, 'sparse');
      const sparse = openSync(body, 'w');
      ftruncateSync(sparse, transferBytes);
      closeSync(sparse);
      const down = await watched(at.gateway, () => file.lab.client.run([...curl, '-o', '/dev/null', '-w', '%{size_download} %{http_version}', `https://${node}/zeros/${String(transferBytes)}`], { timeoutMs: transferMs + 5_000 }));
      expect([down.result.code, down.result.stdout], describeResult(down.result)).toEqual([0, `${String(transferBytes)} ${flag.slice('--http'.length)}`]);
      const up = await watched(at.gateway, () => file.lab.client.run([...curl, '-T', body, `https://${node}/count`], { timeoutMs: transferMs + 5_000 }));
      expect([up.result.code, up.result.stdout], describeResult(up.result)).toEqual([0, `${String(transferBytes)}\n`]);
      for (const [what, { seconds, growthBytes }] of [['down', down], ['up', up]] as const) {
        console.log(`${flag} ${what}: ${String(transferBytes / miB)} MiB in ${seconds.toFixed(1)} s, memory grew by ${(growthBytes / miB).toFixed(1)} MiB`);
        expect(growthBytes).toBeLessThan(memoryGrowthBytesMax);
      }
    });

    it(`${String(slow.takers + slow.givers)} slow clients: a fast one goes on, and memory stays bounded`, { timeout: 240_000 }, async () => {
      const load = async (): Promise<number> => {
        const result = await file.lab.client.run(['h2load', '--h1', '-n', '1000', '-c', '2', `https://${node}/version`], { timeoutMs: 60_000 });
        expect(result.stdout, describeResult(result)).toContain('1000 succeeded, 0 failed, 0 errored, 0 timeout');
        return Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(result.stdout)?.[1] ?? 0);
      };
      await load();
      const alone = await load();
      const before = at.gateway.memoryBytes();
      const clients = await startSlowClients(file.lab.client, { host: address('node').v4, name: node, caFile: at.gateway.caFile, ...slow });
      // What the kernels on the way hold of 70 large bodies has to be filled first; from then on they go at their own pace.
      let [moved, still] = [0, false];
      for (let round = 0; round < 60 && !still; round += 1) {
        await sleep(1_000);
        const now = (await at.gateway.sessions('state=active')).reduce((sum, { bytes }) => sum + bytes.toClient + bytes.fromUpstream, 0);
        still = now - moved < stillBytes;
        moved = now;
      }
      expect(still).toBe(true);
      const beside = await load();
      const growthBytes = at.gateway.memoryBytes() - before;
      const report = await clients.end();
      console.log(`requests per second: ${alone.toFixed(0)} alone, ${beside.toFixed(0)} beside ${String(slow.takers + slow.givers)} slow clients; memory grew by ${(growthBytes / miB).toFixed(1)} MiB`);
      expect(report).toEqual({ underWay: slow.takers + slow.givers, done: 0, lost: 0 });
      expect(growthBytes).toBeLessThan(memoryGrowthBytesMax + (slow.takers + slow.givers) * slowClientBytesMax);
    });
  });
});

/** Runs work and tells how long it took and by how much the gateway's memory grew at its highest. */
async function watched(gateway: Gateway, work: () => Promise<RunResult>): Promise<{ result: RunResult; seconds: number; growthBytes: number }> {
  const before = gateway.memoryBytes();
  const startedAt = Date.now();
  let peak = before;
  let over = false;
  const watching = (async () => {
    while (!over) {
      peak = Math.max(peak, gateway.memoryBytes());
      await sleep(100);
    }
  })();
  const result = await work();
  over = true;
  await watching;
  return { result, seconds: (Date.now() - startedAt) / 1000, growthBytes: peak - before };
}
