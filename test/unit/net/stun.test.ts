import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { askStun } from '../../../src/net/stun.ts';

let server: Socket | null = null;
afterEach(() => {
  server?.close();
  server = null;
});

/** A UDP server that answers by `answer`; RFC 8489 binding success with XOR-MAPPED-ADDRESS is made in `bindingSuccess`. */
async function serve(answer: (request: Buffer) => Buffer | null): Promise<string> {
  const made = createSocket('udp4');
  server = made;
  made.on('message', (request, from) => {
    const reply = answer(request);
    if (reply !== null) made.send(reply, from.port, from.address);
  });
  made.bind(0, '127.0.0.1');
  await once(made, 'listening');
  return `127.0.0.1:${made.address().port}`;
}

function bindingSuccess(request: Buffer, attribute: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt16BE(0x0101, 0);
  head.writeUInt16BE(attribute.length, 2);
  request.copy(head, 4, 4, 20);
  return Buffer.concat([head, attribute]);
}

test('the mapped address is read', async () => {
  // 203.0.113.9:4711 XORed with the magic cookie 2112a442.
  const address = await serve((request) => bindingSuccess(request, Buffer.from([0, 0x20, 0, 8, 0, 1, 0x12 ^ 0x21, 0x67 ^ 0x12, 203 ^ 0x21, 0 ^ 0x12, 113 ^ 0xa4, 9 ^ 0x42])));
  expect(await askStun(address, 1000)).toEqual({ mapped: '203.0.113.9:4711', fault: null });
});

test('an answer without address, silence, nonsense and a closed port are told', async () => {
  expect(await askStun(await serve((request) => bindingSuccess(request, Buffer.alloc(0))), 700)).toEqual({ mapped: null, fault: 'an answer without an address' });
  server?.close();
  for (const answer of [() => null, () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), () => Buffer.alloc(3)]) {
    const started = Date.now();
    const told = await askStun(await serve(answer), 700);
    expect(told.mapped).toBeNull();
    expect(told.fault).toEqual(expect.any(String));
    expect(Date.now() - started).toBeLessThan(2000);
    server?.close();
  }
  server = null;
});
