// Requests for revocation data on flows that rules deny, tunnel or relay: answered all the same, to any address; everything else is as before.

import { mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openCertificates } from '../../../src/certs/open.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { noMeter } from '../../../src/core/meters.ts';
import { readAll } from '../../support/pair.ts';
import { openWorld, startGateway, tcpServer } from './support.ts';
import type { GatewayOptions, TestGateway, TestServer, World } from './support.ts';

let world: World;
/** What clients meant to reach: it tells what comes to it. */
let elsewhere: TestServer;
let heard = '';
let made: TestGateway | null = null;

beforeAll(async () => {
  const plain = await openWorld();
  await plain.certificates.close();
  elsewhere = await tcpServer((socket) => {
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      socket.end('elsewhere');
    });
  });
  const stateDir = mkdtempSync(join(tmpdir(), 'sallyport-first-'));
  const certificates = await openCertificates({
    stateDir, primary: true, limits: limitsWith(), meter: noMeter, log: silentLogger, clock: Date.now,
    issuer: {
      cert: join(stateDir, 'ca.pem'), key: join(stateDir, 'ca.key'), leafKey: 'auto', newKey: 'ec',
      crl: { enabled: true, hosts: [`crl.test:${String(elsewhere.port)}`], days: 30 }, ocsp: { enabled: true, staple: false },
    },
  });
  world = { ...plain, certificates, caPem: certificates.caPem };
});
afterEach(async () => {
  heard = '';
  await made?.close();
  made = null;
});
afterAll(async () => {
  await world.certificates.close();
  await elsewhere.close();
});

async function client(options: Partial<GatewayOptions>): Promise<Socket> {
  made = await startGateway(world, { destination: { ip: '127.0.0.1', port: elsewhere.port, host: null }, limits: { detectMs: 1_000 }, ...options });
  const socket = connect({ port: made.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  return socket;
}

const request = (host: string, method = 'GET'): string => `${method} /ssl/crl/issuer_CA.crl HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
const keepShut: [string, Partial<GatewayOptions>, string][] = [
  ['connection rules that deny', { policy: 'connection: [ { then: deny } ]' }, ''],
  ['connection rules that tunnel', { policy: 'connection: [ { then: tunnel } ]' }, 'elsewhere'],
  ['protocol rules that deny', { policy: 'protocol: [ { then: deny } ]' }, 'HTTP/1.1 403'],
  ['an ssl service that tunnels what is not TLS', { type: 'ssl', tunnelOnError: '[NOT_TLS]' }, 'elsewhere'],
  ['protocol rules that relay', { policy: 'protocol: [ { then: relay } ]' }, 'elsewhere'],
  ['detection that is off', { detectProtocol: 'false' }, 'elsewhere'],
];

describe.each(keepShut)('%s', (_label, options, otherwise) => {
  test('the CRL is served, whoever was meant', async () => {
    const socket = await client(options);
    socket.write(request(`CRL.test:${String(elsewhere.port)}`));
    const answer = (await readAll(socket)).toString('latin1');
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toMatch(/content-type: application\/pkix-crl/i);
    expect(heard).toBe('');
    expect(await made?.ended()).toMatchObject({ protocol: 'http', rule: 'revocation/any-client', error: null, details: { http: { status: 200 } } });
  });

  test('also when its request comes in pieces', async () => {
    const socket = await client(options);
    for (const piece of [request(`crl.test:${String(elsewhere.port)}`, 'HEAD').slice(0, 2), request(`crl.test:${String(elsewhere.port)}`, 'HEAD').slice(2, 50)]) {
      socket.write(piece);
      await sleep(30);
    }
    socket.write(request(`crl.test:${String(elsewhere.port)}`, 'HEAD').slice(50));
    expect((await readAll(socket)).toString('latin1')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([request('www.test'), 'SSH-2.0-client\r\n'])('what asks for something else is treated as before: %j', async (bytes) => {
    const socket = await client(options);
    socket.write(bytes);
    const answer = (await readAll(socket).catch(() => Buffer.alloc(0))).toString('latin1');
    expect(answer.startsWith(bytes.startsWith('GET') ? otherwise : otherwise.replace('HTTP/1.1 403', ''))).toBe(true);
    expect(heard).toBe(otherwise === 'elsewhere' ? bytes : '');
  });
});

test('nobody is waited for on other ports', async () => {
  const socket = await client({ policy: 'connection: [ { then: deny } ]', destination: { ip: '127.0.0.1', port: 9, host: null }, limits: { detectMs: 60_000 } });
  await readAll(socket).catch(() => null);
  expect(await made?.ended()).toMatchObject({ action: 'deny', error: 'CONNECTION_DENIED' });
});

test('a client that says nothing is denied after detectMs', async () => {
  const socket = await client({ policy: 'connection: [ { then: deny } ]', limits: { detectMs: 100 } });
  await readAll(socket).catch(() => null);
  expect(await made?.ended()).toMatchObject({ action: 'deny', error: 'CONNECTION_DENIED' });
});
