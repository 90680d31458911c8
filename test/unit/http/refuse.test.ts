import { afterEach, expect, test } from 'vitest';
import { refuseHttp1 } from '../../../src/http/refuse.ts';
import { connect, receive, startGateway, startRawOrigin } from './harness.ts';
import type { Gateway } from './harness.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function refusing(limits: Parameters<typeof startGateway>[0]['limits'] = {}): Promise<Gateway> {
  const origin = await startRawOrigin('', () => false);
  const gateway = await startGateway({
    originPort: origin.port,
    limits,
    handle: async (flow, deps) => {
      await refuseHttp1(flow, deps, { code: 'UPSTREAM_CERT_EXPIRED', detail: null, rule: 'certificate/1', status: null });
      return 'done';
    },
  });
  closers.push(() => gateway.close(), origin.close);
  return gateway;
}

test('the page answers the request in its form, and both sides are closed', async () => {
  const gateway = await refusing();
  const socket = await connect(gateway.port);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nAc');
  setTimeout(() => socket.write('cept: application/json\r\n\r\n'), 20);
  expect(await receive(socket)).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n[\s\S]*Connection: close\r\n\r\n\{"error":\{"code":"UPSTREAM_CERT_EXPIRED"/);
  await gateway.ended();
  expect(gateway.flows[0]?.upstream?.destroyed).toBe(true);
  expect(gateway.flows[0]?.client.destroyed).toBe(true);
});

test('HEAD gets a head, broken requests get a page', async () => {
  const gateway = await refusing();
  const head = await connect(gateway.port);
  head.write('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await receive(head)).toMatch(/^HTTP\/1\.1 502 [\s\S]*\r\n\r\n$/);
  const broken = await connect(gateway.port);
  broken.write('GET / HTTP/1.1\nHost: a\n\n');
  expect(await receive(broken)).toContain('UPSTREAM_CERT_EXPIRED');
});

test('an upload that is not read does not cost the page', async () => {
  const gateway = await refusing();
  const socket = await connect(gateway.port);
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n`);
  socket.write(Buffer.alloc(2_000_000));
  expect(await receive(socket)).toContain('UPSTREAM_CERT_EXPIRED');
});

test('a client that asks nothing is not waited for without end', async () => {
  const gateway = await refusing({ detectMs: 100, lingerMs: 100 });
  const socket = await connect(gateway.port);
  expect(await receive(socket)).toBe('');
  expect(await gateway.ended()).toBe('done');
});
