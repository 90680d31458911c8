// Whose connection it is: a login that binds to the connection never serves another client, transparent or explicit; and what could be framed in
// two ways never reaches a server that would take anything, whichever way it comes in.

import { describe, expect, it } from 'vitest';
import type { RunResult } from '../support/program.ts';
import { gatewayAt, openServices } from './support/explicit.ts';
import { address, network } from './support/names.ts';
import { startSmallServers } from './support/peers/small.ts';
import type { SmallServers } from './support/peers/small.ts';
import { sendHostile, startNtlm } from './support/peers/web-peers.ts';
import { gatewayFor, labFile } from './support/suite.ts';

/** RFC 8446 section 5.1, without the first bytes of a row that may have come before. */
const tlsRecordBytes = 16_000;

let ntlm: Awaited<ReturnType<typeof startNtlm>> | null = null;
let small: SmallServers | null = null;

labFile('HTTP logins and smuggling', async ({ lab, certificates }) => {
  ntlm = await startNtlm(lab.server, certificates.server);
  small = await startSmallServers(lab.server, certificates.server);
}, (file) => {
  const at = gatewayFor(file, { mode: 'redirect', services: openServices });
  const origin = (): Awaited<ReturnType<typeof startNtlm>> => {
    if (ntlm === null) throw new Error('only inside tests');
    return ntlm;
  };
  const { name } = address('ntlm');

  describe('NTLM', () => {
    const proxy = `http://${gatewayAt(3128)}`;
    it.each<[string, string, readonly string[]]>([
      ['transparent, over TLS', `https://${name}`, []],
      ['transparent, in the clear', `http://${name}`, []],
      ['explicit, re-issued', `http://${name}`, ['-x', proxy]],
      ['explicit, inside CONNECT', `https://${name}`, ['-x', proxy]],
    ])('%s: the three legs succeed on one connection, which is no other client\'s', async (_how, url, more) => {
      const before = origin().requests().length;
      const seen = (): ReturnType<ReturnType<typeof origin>['requests']> => origin().requests().slice(before);
      const curl = (from: string, args: readonly string[]): string[] => ['curl', '-sS', '-4', '-m', '60', '--http1.1', '--interface', from, '--cacert', at.gateway.caFile, ...more, ...args];
      // One request in two seconds on one connection: in between it is idle, and the other clients come.
      const ann = await file.lab.client.spawn('ann', curl(network.clients[0], ['--rate', '30/m', '--ntlm', '-u', 'LAB\\ann:secret', `${url}/ann/1`, `${url}/ann/2`, `${url}/ann/3`, `${url}/ann/4`]));
      await ann.waitForOutput(/^ann on connection \d+$/m, 30_000);
      const others: RunResult[] = [];
      for (const from of [network.clients[1], network.clients[0]]) others.push(await file.lab.client.run(curl(from, [`${url}/other`, `${url}/other`])));
      const bob = await file.lab.client.run(curl(network.clients[1], ['--ntlm', '-u', 'LAB\\bob:secret', `${url}/bob`]));
      expect((await ann.exited).code).toBe(0);
      expect(others.map(({ stdout }) => stdout)).toEqual(['who are you?\n'.repeat(2), 'who are you?\n'.repeat(2)]);
      const hers = seen().filter(({ path }) => path.startsWith('/ann/'));
      const connection = hers[0]?.connection ?? -1;
      expect(ann.output()).toBe(`ann on connection ${String(connection)}\n`.repeat(4));
      // One challenge for all four requests: the connection stayed hers and stayed open.
      expect(hers.map(({ user }) => user)).toEqual([null, 'ann', 'ann', 'ann', 'ann']);
      expect(new Set(hers.map((request) => request.connection)).size).toBe(1);
      expect(bob.stdout).toMatch(/^bob on connection \d+\n$/);
      const strangers = seen().filter(({ path }) => !path.startsWith('/ann/'));
      expect(strangers.filter((request) => request.connection === connection || request.user === 'ann')).toEqual([]);
      // They came while hers was idle and logged in, or this shows nothing.
      const last = seen().findLastIndex(({ path }) => path === '/ann/4');
      expect(seen().findIndex(({ path }) => path === '/other')).toBeLessThan(last);
    });
  });

  describe('the table of hostile requests, in front of a server that takes anything', () => {
    const echo = address('echo');
    it.each([
      ['over TLS', 'tls-echo', { host: echo.v4, port: 443, absolute: false }, []],
      ['in the clear', 'echo-80', { host: echo.v4, port: 80, absolute: false }, []],
      ['to the explicit proxy', 'echo-80', { host: network.gatewayToClient.v4, port: 3128, absolute: true }, ['-x', `http://${gatewayAt(3128)}`]],
    ] as const)('%s: all are refused with their code, and not a byte arrives', async (_how, server, plan, more) => {
      if (small === null) throw new Error('only inside tests');
      const tls = server === 'tls-echo';
      const before = (await small.records(server, 0)).length;
      const answers = await sendHostile(file.lab.client, { ...plan, name: echo.name, caFile: tls ? at.gateway.caFile : null });
      expect(answers.length).toBeGreaterThanOrEqual(60);
      // A proxy goes by the absolute target and passes no Host that differs on (RFC 9112 section 3.2.2).
      const judged = plan.absolute ? answers.filter(({ row }) => row !== 'absolute target differs from Host') : answers;
      expect(judged.filter(({ status, code, expected }) => status !== 400 || code !== expected)).toEqual([]);
      // A good request does arrive, after all that was sent before it; what the server makes of it is no HTTP.
      const good = await file.lab.client.run(['curl', '-sS', '-4', '-m', '30', '--http1.1', '--cacert', at.gateway.caFile, ...more, '-o', '/dev/null', '-w', '%{http_code}', `${tls ? 'https' : 'http'}://${echo.name}/good`]);
      expect(good.stdout).toBe('502');
      const arrived = (await small.records(server, before + (tls ? answers.length : 0) + 1)).slice(before).filter(({ received }) => received.bytes > 0);
      // One row is longer than a TLS record. Where its records come apart, its body is on its way when the rest shows that it cannot be framed, and is cut
      // off there; where they come together, nothing of it leaves.
      const [cutOff, whole] = [arrived.filter(({ received }) => received.bytes >= tlsRecordBytes), arrived.filter(({ received }) => received.bytes < tlsRecordBytes)];
      expect(whole).toHaveLength(1);
      expect(cutOff.length).toBeLessThanOrEqual(tls ? 1 : 0);
    });
  });
});
