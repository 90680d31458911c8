// The SIP handler over real loopback sockets: bytes are the same on both sides, a refused request is answered and the
// connection goes on, and what cannot be framed ends as the failure table says.

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { sip } from '../../../src/sip/index.ts';
import { denyMethod, flowOf, Reader, request, response, socketPair, testDeps } from './support.ts';
import type { SipRule, TestDeps } from './support.ts';

/** A flow through the handler, with the client's and the server's far ends in our hands. */
async function started(world: TestDeps) {
  const [client, upstream] = [await socketPair(), await socketPair()];
  const flow = flowOf(client.far, upstream.near);
  const over = sip.handle(flow, world.deps, null).then(() => null, (error: unknown) => error);
  return {
    flow, over, client: client.near, server: upstream.far,
    atClient: new Reader(client.near), atServer: new Reader(upstream.far),
    close: () => { client.close(); upstream.close(); },
  };
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Cuts bytes at pseudo-random places, the same every run. */
function pieces(bytes: Buffer, seed: number): Buffer[] {
  const cut: Buffer[] = [];
  let state = seed;
  for (let at = 0; at < bytes.length;) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    const to = Math.min(bytes.length, at + 1 + (state % 400));
    cut.push(bytes.subarray(at, to));
    at = to;
  }
  return cut;
}

function conversation(): { up: Buffer; down: Buffer } {
  const up: Buffer[] = [];
  const down: Buffer[] = [];
  for (let call = 0; call < 40; call += 1) {
    const callId = `call-${call}`;
    up.push(request('INVITE', ['Content-Type: application/sdp'], 'v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n', callId));
    down.push(response(100, 'INVITE', [], '', callId), response(180, 'INVITE', [], '', callId), response(200, 'INVITE', [], '', callId));
    up.push(request('ACK', [], '', callId), Buffer.from('\r\n\r\n'), request('BYE', [], 'x'.repeat(3000), callId));
    down.push(Buffer.from('\r\n'), response(200, 'BYE', [], '', callId));
  }
  return { up: Buffer.concat(up), down: Buffer.concat(down) };
}

describe.each<[string, SipRule]>([['without rules', null], ['with rules that allow', denyMethod('PUBLISH')]])('%s', (_name, rule) => {
  test('bytes on both sides are the same, both ways, whatever the pieces', async () => {
    const world = testDeps(rule);
    const way = await started(world);
    const { up, down } = conversation();
    const [upPieces, downPieces] = [pieces(up, 7), pieces(down, 11)];
    for (let index = 0; index < Math.max(upPieces.length, downPieces.length); index += 1) {
      const [toServer, toClient] = [upPieces[index], downPieces[index]];
      if (toServer !== undefined) way.client.write(toServer);
      if (toClient !== undefined) way.server.write(toClient);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await way.atServer.until((reader) => reader.bytes.length >= up.length);
    await way.atClient.until((reader) => reader.bytes.length >= down.length);
    expect(sha(way.atServer.bytes)).toBe(sha(up));
    expect(sha(way.atClient.bytes)).toBe(sha(down));
    expect(way.flow.session.details.sip).toMatchObject({ methods: { INVITE: 40, ACK: 40, BYE: 40 }, statuses: { 100: 40, 180: 40, 200: 80 }, keepAlives: 40, opaque: null });
    way.client.end();
    way.server.end();
    expect(await way.over).toBeNull();
    way.close();
  });
});

test('a refused request is answered in SIP and the connection goes on', async () => {
  const world = testDeps(denyMethod('INVITE'));
  const way = await started(world);
  const options = request('OPTIONS');
  way.client.write(Buffer.concat([request('INVITE', [], 'v=0\r\n'), options]));
  await way.atClient.until((reader) => reader.text.includes('\r\n\r\n'));
  const answer = way.atClient.text.split('\r\n');
  expect(answer[0]).toBe('SIP/2.0 403 Forbidden');
  expect(answer).toContain('Via: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKone;received=127.0.0.1');
  expect(answer).toContain('From: "Alice" <sip:alice@contoso.test>;tag=a1;epid=0123456789');
  expect(answer).toContain('CSeq: 1 INVITE');
  expect(answer).toContain('Reason: SIP;cause=403;text="REQUEST_DENIED"');
  expect(answer.find((line) => line.startsWith('To: '))).toMatch(/^To: <sip:bob@contoso\.test>;tag=[0-9a-f-]{36}$/);
  way.client.write(request('ACK'));
  way.server.write(response(200, 'OPTIONS'));
  await way.atClient.until((reader) => reader.text.includes('SIP/2.0 200'));
  way.client.write(options);
  await way.atServer.until((reader) => reader.bytes.length >= 2 * options.length);
  // Neither the INVITE, nor its body, nor the ACK of our refusal reached the server.
  expect(way.atServer.text).toBe(Buffer.concat([options, options]).toString('latin1'));
  expect(way.flow.session.details.sip?.denied).toEqual({ requests: 1, rule: 'sip/no-INVITE' });
  way.client.end();
  way.server.end();
  expect(await way.over).toBeNull();
  way.close();
});

test('a refusal waits for the end of the response that is on its way', async () => {
  const world = testDeps(denyMethod('INVITE', 488));
  const way = await started(world);
  const big = response(200, 'OPTIONS', ['Content-Type: text/plain'], 'y'.repeat(4000));
  way.server.write(big.subarray(0, 1000));
  await way.atClient.until((reader) => reader.bytes.length === 1000);
  way.client.write(request('INVITE'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(way.atClient.bytes.length).toBe(1000);
  way.server.write(big.subarray(1000));
  await way.atClient.until((reader) => reader.text.includes('SIP/2.0 488 Not Acceptable Here'));
  expect(way.atClient.bytes.subarray(0, big.length).equals(big)).toBe(true);
  way.close();
  await way.over;
});

test('a request from the server is refused towards the server', async () => {
  const way = await started(testDeps(denyMethod('MESSAGE')));
  way.server.write(request('MESSAGE', [], 'hello'));
  await way.atServer.until((reader) => reader.text.startsWith('SIP/2.0 403 Forbidden\r\n'));
  expect(way.atClient.bytes.length).toBe(0);
  way.close();
  await way.over;
});

const ambiguous = Buffer.from('OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n');

test('an ambiguous message with rules ends the flow and does not reach the server', async () => {
  const way = await started(testDeps(denyMethod('INVITE')));
  const options = request('OPTIONS');
  way.client.write(Buffer.concat([options, ambiguous]));
  const error = await way.over;
  expect(error).toBeInstanceOf(FlowError);
  expect(error).toMatchObject({ code: 'SIP_MALFORMED', detail: 'two Content-Lengths that differ' });
  await way.atServer.until((reader) => reader.ended);
  expect(way.atServer.text).toBe(options.toString('latin1'));
  way.close();
});

test('an ambiguous message without rules makes the stream opaque', async () => {
  const way = await started(testDeps());
  const after = Buffer.from('not sip at all\r\n');
  way.client.write(Buffer.concat([ambiguous, after]));
  await way.atServer.until((reader) => reader.bytes.length === ambiguous.length + after.length);
  way.server.write('nor is this');
  await way.atClient.until((reader) => reader.text === 'nor is this');
  expect(way.flow.session.details.sip?.opaque).toBe('two Content-Lengths that differ');
  way.close();
  await way.over;
});

test('where policy denies unknown protocols, a stream that is no SIP after all ends', async () => {
  const world = testDeps();
  world.unknown = 'deny';
  const way = await started(world);
  way.client.write(ambiguous);
  expect(await way.over).toMatchObject({ code: 'SIP_MALFORMED' });
  way.close();
});

test('the gauges fall when the flow ends', async () => {
  const world = testDeps();
  const way = await started(world);
  way.client.write(Buffer.concat([request('REGISTER', ['Contact: <sip:alice@10.0.0.1>'], '', 'reg'), request('INVITE')]));
  await way.atServer.until((reader) => reader.text.includes('INVITE sip:'));
  way.server.write(Buffer.concat([response(200, 'REGISTER', ['Contact: <sip:alice@10.0.0.1>;expires=600'], '', 'reg'), response(200, 'INVITE')]));
  await way.atClient.until(() => world.meter.of('sip_registrations{}') === 1 && world.meter.of('sip_dialogs{}') === 1);
  way.client.end();
  way.server.end();
  await way.over;
  expect(world.meter.of('sip_registrations{}')).toBe(0);
  expect(world.meter.of('sip_dialogs{}')).toBe(0);
  way.close();
});

describe('refuse', () => {
  test('answers the first request and closes', async () => {
    const pair = await socketPair();
    const reader = new Reader(pair.near);
    const over = sip.refuse?.(flowOf(pair.far, null), testDeps().deps, { code: 'PROTOCOL_DENIED', detail: null, rule: 'protocol/no-sip', status: null });
    const register = request('REGISTER');
    pair.near.write(Buffer.concat([Buffer.from('\r\n\r\n'), register.subarray(0, 100)]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    pair.near.write(register.subarray(100));
    await reader.until((seen) => seen.ended);
    expect(reader.text).toMatch(/^SIP\/2\.0 403 Forbidden\r\n[^]*Reason: SIP;cause=403;text="PROTOCOL_DENIED"\r\nContent-Length: 0\r\n\r\n$/);
    pair.near.end();
    await over;
    pair.close();
  });

  test.each<[string, Buffer | null]>([['silence', null], ['what is no SIP', Buffer.from('\x00\x01\x02')], ['a response', response(200, 'OPTIONS')]])('closes without a word after %s', async (_name, bytes) => {
    const pair = await socketPair();
    const reader = new Reader(pair.near);
    const world = testDeps(null, { sipRefuseMs: 60 });
    const over = sip.refuse?.(flowOf(pair.far, null), world.deps, { code: 'DIAL_REFUSED', detail: null, rule: null, status: null });
    if (bytes !== null) pair.near.write(bytes);
    await over;
    await reader.until((seen) => seen.ended);
    expect(reader.bytes.length).toBe(0);
    pair.close();
  });
});
