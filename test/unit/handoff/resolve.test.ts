import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { resolverFor } from '../../../src/handoff/resolve.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A name server that knows A records of one name, and says NXDOMAIN of all others (RFC 1035). */
async function nameServer(name: string, addresses: readonly string[]): Promise<string> {
  const server = createSocket('udp4');
  server.on('message', (query, { address, port }) => {
    const end = query.indexOf(0, 12);
    const labels: string[] = [];
    for (let at = 12; at < end; at += (query[at] ?? 0) + 1) labels.push(query.toString('latin1', at + 1, at + 1 + (query[at] ?? 0)));
    const known = labels.join('.') === name;
    const records = known && query.readUInt16BE(end + 1) === 1 ? addresses : [];
    const head = Buffer.from(query.subarray(0, end + 5));
    head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt16BE(0, 10);
    const answers = records.map((ip) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...ip.split('.').map(Number)]));
    server.send(Buffer.concat([head, ...answers]), port, address);
  });
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

it('asks the config\'s servers alone', async () => {
  const resolve = resolverFor([await nameServer('only.here.test', ['192.0.2.1', '192.0.2.2'])], limitsWith());
  expect([...(await resolve('only.here.test'))].sort()).toEqual(['192.0.2.1', '192.0.2.2']);
  await expect(resolve('nowhere.test')).rejects.toMatchObject({ code: 'DNS_FAILED', detail: 'nowhere.test' });
  await expect(resolve('localhost.test')).rejects.toMatchObject({ code: 'DNS_FAILED' });
});

it('a server that is silent is given up on within the limit', async () => {
  const silent = createSocket('udp4');
  await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve));
  closing.push(() => silent.close());
  const startedAt = performance.now();
  const resolve = resolverFor([`127.0.0.1:${String((silent.address() as AddressInfo).port)}`], limitsWith({ dnsMs: 1000 }));
  await expect(resolve('only.here.test')).rejects.toMatchObject({ code: 'DNS_FAILED' });
  expect(performance.now() - startedAt).toBeLessThan(3000);
});

it('without servers the system is asked, hosts file and all', async () => {
  expect(await resolverFor([], limitsWith())('localhost')).toContain('127.0.0.1');
});
