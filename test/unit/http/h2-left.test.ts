// A client that resets its connection while the server's SETTINGS are still awaited: its flow ends with it, not with an idle limit.

import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from 'vitest';
import { exchangeHttp2 } from '../../../src/http/h2.ts';
import { listen, startGateway } from './harness.ts';

test('a client gone after 20 ms', async () => {
  const silent = net.createServer((socket) => socket.on('error', () => {}).resume());
  const gateway = await startGateway({
    originPort: await listen(silent), limits: { http2SettingsMs: 100 },
    handle: (flow, deps) => {
      // A TLS socket reads all the time and so hears of the reset; a plain one that waits hears of it later.
      setTimeout(() => flow.client.destroy(), 20);
      return exchangeHttp2(flow, deps);
    },
  });
  try {
    const client = net.connect({ port: gateway.port, host: '127.0.0.1' });
    await once(client, 'connect');
    client.on('error', () => {});
    client.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect(await gateway.ended()).toMatchObject({ code: 'RESET_BY_CLIENT' });
  } finally {
    gateway.close();
    silent.close();
  }
}, 10_000);
