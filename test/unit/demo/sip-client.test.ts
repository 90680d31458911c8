// The demo's client and registrar with the real SIP handler between them: TLS ends at a small gateway of the test's own,
// plaintext goes through the handler, and the session tells what happened.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runSipClient } from '../../../demo/sip-client.ts';
import { startSipServer } from '../../../demo/sip-server.ts';
import type { SipServer } from '../../../demo/sip-server.ts';
import type { Flow } from '../../../src/core/flow.ts';
import { sip } from '../../../src/sip/index.ts';
import { denyMethod, flowOf, testDeps } from '../sip/support.ts';
import type { SipRule } from '../sip/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'sip-client-'));
let identity = { key: '', cert: '' };
let server: SipServer;

beforeAll(async () => {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=sip.demo.test', '-addext', 'subjectAltName=DNS:sip.demo.test', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
  identity = { key: readFileSync(join(folder, 'key.pem'), 'utf8'), cert: readFileSync(join(folder, 'cert.pem'), 'utf8') };
  server = await startSipServer({ host: '127.0.0.1', port: 0, ...identity });
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Runs the demo client through the handler; answers its report, the session and how the handler ended. */
async function throughHandler(rule: SipRule) {
  const world = testDeps(rule);
  let begun: (seen: { flow: Flow; over: Promise<unknown> }) => void = () => undefined;
  const seen = new Promise<{ flow: Flow; over: Promise<unknown> }>((resolve) => { begun = resolve; });
  const gateway = createServer(identity, (client: TLSSocket) => {
    const upstream = connect({ host: '127.0.0.1', port: server.port, servername: 'sip.demo.test', ca: identity.cert }, () => {
      const flow = flowOf(client, upstream);
      begun({ flow, over: sip.handle(flow, world.deps, null).catch((error: unknown) => error) });
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const address = gateway.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const report = await runSipClient({ host: '127.0.0.1', port: address.port, ca: identity.cert, servername: 'sip.demo.test', timeoutMs: 3000 });
  const { flow, over } = await seen;
  await over;
  gateway.close();
  return { report, details: flow.session.details.sip, world };
}

test('the session shows the registration, the call and the keep-alive', async () => {
  const { report, details, world } = await throughHandler(null);
  expect(report).toMatchObject({ failure: null, register: { statuses: [401, 200] }, options: 200, invite: [100, 180, 200], bye: 200 });
  expect(details).toMatchObject({
    registrations: [{ aor: 'sip:alice@sip.demo.test', state: 'registered', expiresSeconds: 600, scheme: 'Digest', offered: ['Digest'], rounds: 1, userAgent: 'Sallyport-Demo/1.0' }],
    dialogs: [{ state: 'ended', from: 'sip:alice@sip.demo.test', to: 'sip:bob@sip.demo.test', media: ['audio 127.0.0.1:40000', 'audio 127.0.0.1:40002'], codecs: ['PCMU'] }],
    methods: { REGISTER: 2, OPTIONS: 1, INVITE: 1, ACK: 1, BYE: 1 }, statuses: { 401: 1, 100: 1, 180: 1, 200: 4 }, keepAlives: 1, server: 'Sallyport-Demo/1.0', opaque: null,
  });
  expect(world.meter.of('sip_messages_total{sips,request,REGISTER}')).toBe(2);
  expect(world.meter.of('sip_messages_total{sips,response,2xx}')).toBe(4);
  expect(world.meter.of('sip_registrations{}')).toBe(0);
});

test('a refused call is told so, and everything else on the connection works', async () => {
  const { report, details } = await throughHandler(denyMethod('INVITE', 488));
  expect(report).toMatchObject({ failure: 'the call did not go through: 488', register: { statuses: [401, 200] }, pongMs: expect.any(Number), options: 200, invite: [488], bye: null });
  expect(details).toMatchObject({ dialogs: [], denied: { requests: 1, rule: 'sip/no-INVITE' }, registrations: [{ state: 'registered' }] });
});
