import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { ProxySenders, takeProxyHeader } from '../../../src/listener/proxy-protocol.ts';
import type { ProxyHeader } from '../../../src/listener/proxy-protocol-wire.ts';
import { header2 } from './proxy-headers.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** The header that is taken off a real connection onto which `write` writes, and all that is left in it. */
async function taken(write: (client: Socket) => void | Promise<void>, ends = true): Promise<{ answer: ProxyHeader | FlowError; rest: string }> {
  const done = Promise.withResolvers<{ answer: ProxyHeader | FlowError; rest: string }>();
  const server = createServer({ allowHalfOpen: true }, (raw) => {
    raw.on('error', () => {});
    closing.push(() => raw.destroy());
    void takeProxyHeader(raw, limitsWith({ proxyHeaderMs: 300 })).catch((caught: unknown) => (caught instanceof FlowError ? caught : new FlowError('INTERNAL'))).then(async (answer) => {
      if (answer instanceof FlowError || !ends) return done.resolve({ answer, rest: '' });
      const chunks: Buffer[] = [];
      raw.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
      if (!raw.readableEnded) await once(raw, 'end');
      done.resolve({ answer, rest: Buffer.concat(chunks).toString('latin1') });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, noDelay: true });
  client.on('error', () => {});
  closing.push(() => client.destroy());
  await once(client, 'connect');
  await write(client);
  return await done.promise;
}

const line = 'PROXY TCP4 192.0.2.1 203.0.113.7 54321 443\r\n';
const source = { ip: '192.0.2.1', port: 54321 };

describe('a header is taken off', () => {
  it('with what follows left in the stream', async () => {
    expect(await taken((client) => void client.end(`${line}hello`))).toMatchObject({ answer: { source }, rest: 'hello' });
  });

  it('when it comes byte by byte and the rest later', async () => {
    const result = await taken(async (client) => {
      for (const character of line) {
        client.write(character);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
      client.end('later');
    });
    expect(result).toMatchObject({ answer: { source }, rest: 'later' });
  });

  it('when nothing follows but the end', async () => {
    expect(await taken((client) => void client.end(line))).toMatchObject({ answer: { source }, rest: '' });
  });

  it('of version 2 before a ClientHello', async () => {
    const header = header2(0x21, 0x11, Buffer.from('c0000201cb007107d43101bb', 'hex'));
    expect(await taken((client) => void client.end(Buffer.concat([header, Buffer.from('\x16\x03\x01', 'latin1')])))).toMatchObject({ answer: { version: 2, source }, rest: '\x16\x03\x01' });
  });
});

describe('what is refused', () => {
  it.each([
    ['another protocol', (client: Socket) => void client.write('GET / HTTP/1.1\r\n'), 'PROXY_HEADER_MALFORMED'],
    ['half a header and the end', (client: Socket) => void client.end(line.slice(0, 20)), 'PROXY_HEADER_MALFORMED'],
    ['half a header and silence', (client: Socket) => void client.write(line.slice(0, 20)), 'PROXY_HEADER_MALFORMED'],
    ['silence', () => {}, 'PROXY_HEADER_MALFORMED'],
    ['the end at once', (client: Socket) => void client.end(), 'CLIENT_CLOSED_EARLY'],
    ['a reset', (client: Socket) => void client.resetAndDestroy(), 'RESET_BY_CLIENT'],
  ])('%s', async (_name, write, code) => {
    expect((await taken(write)).answer).toMatchObject({ code });
  });
});

it('senders are those of the list, however their address is written', () => {
  const senders = new ProxySenders(['10.0.0.0/8', '2001:db8::1']);
  expect(['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::1', '2001:db8:0::1'].map((ip) => senders.has(ip))).toEqual([true, true, true, true]);
  expect(['11.0.0.1', '2001:db8::2', '', 'nonsense'].map((ip) => senders.has(ip))).toEqual([false, false, false, false]);
});
