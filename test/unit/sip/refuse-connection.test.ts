// Telling a client why its connection is denied: the first request only, nothing to the server, always an end.

import { expect, test } from 'vitest';
import { refuseConnection } from '../../../src/sip/refuse-connection.ts';
import { flowOf, Reader, request, socketPair, testDeps } from './support.ts';

const refusal = { code: 'UPSTREAM_CERT_EXPIRED', detail: null, rule: null, status: null } as const;

test('the first request is answered once, later ones are not, and upstream is closed unasked', async () => {
  const [client, upstream] = [await socketPair(), await socketPair()];
  const [atClient, atServer] = [new Reader(client.near), new Reader(upstream.far)];
  client.near.write(Buffer.concat([request('ACK'), request('INVITE', [], 'body'), request('OPTIONS')]));
  const over = refuseConnection(flowOf(client.far, upstream.near), testDeps().deps, refusal);
  await atClient.until((reader) => reader.ended);
  client.near.end();
  await over;
  await atServer.until((reader) => reader.ended);
  expect(atClient.text.match(/^SIP\/2\.0 /gm)).toHaveLength(1);
  expect(atClient.text).toMatch(/^SIP\/2\.0 503 Service Unavailable\r\n[^]*CSeq: 1 INVITE\r\nReason: SIP;cause=503;text="UPSTREAM_CERT_EXPIRED"\r\n/);
  expect(atServer.bytes.length).toBe(0);
  client.close();
  upstream.close();
});

test('bytes that the peek put back are read', async () => {
  const client = await socketPair();
  const reader = new Reader(client.near);
  client.far.unshift(request('OPTIONS'));
  const over = refuseConnection(flowOf(client.far, null), testDeps().deps, { ...refusal, code: 'PROTOCOL_DENIED', status: 488 });
  await reader.until((seen) => seen.text.startsWith('SIP/2.0 488 Not Acceptable Here\r\n'));
  client.near.end();
  await over;
  client.close();
});

test('a client that goes on for ever, or is gone already, does not hold the flow', async () => {
  const world = testDeps(null, { sipRefuseMs: 50 });
  const client = await socketPair();
  client.near.resume();
  client.near.on('error', () => undefined);
  const sending = setInterval(() => client.near.write('REGISTER '), 5);
  await refuseConnection(flowOf(client.far, null), world.deps, refusal);
  clearInterval(sending);
  expect(client.far.destroyed).toBe(true);
  await refuseConnection(flowOf(client.far, null), world.deps, refusal);
  client.close();
});
