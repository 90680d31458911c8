import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import { alertName, alertNumbers, isAlertName, plaintextAlert, readAlert } from '../../../src/tls/alerts.ts';
import type { AlertName } from '../../../src/tls/alerts.ts';
import { buildHello } from '../../support/client-hellos.ts';

test('alerts are written as stacks write them', () => {
  expect(plaintextAlert('protocol_version', 'TLSv1').toString('hex')).toBe('15030100020246');
  expect(plaintextAlert('handshake_failure', 'TLSv1.3').toString('hex')).toBe('15030300020228');
  expect(plaintextAlert('internal_error', 'TLSv1.1').toString('hex')).toBe('15030200020250');
  expect(plaintextAlert('access_denied', null).toString('hex')).toBe('15030100020231');
  expect(plaintextAlert('close_notify', 'TLSv1.2').toString('hex')).toBe('15030300020100');
});

test('every alert is read back under its name', () => {
  for (const name of Object.keys(alertNumbers).filter(isAlertName)) {
    const bytes = plaintextAlert(name, 'TLSv1.2');
    for (let length = 0; length < bytes.length; length += 1) expect(readAlert(bytes.subarray(0, length))).toBe('more');
    expect(readAlert(Buffer.concat([bytes, Buffer.alloc(3)]))).toEqual({
      level: name === 'close_notify' || name === 'user_canceled' ? 'warning' : 'fatal', description: alertNumbers[name], name, recordVersion: 0x0303,
    });
  }
});

test.each(['160301000202', '1502', '15030100030228', '15030101020228', '15030100020328'])('%s is no alert in the clear', (bytes) => {
  expect(readAlert(Buffer.from(bytes, 'hex'))).toBe('no');
});

test('numbers nobody registered have no name', () => {
  expect(alertName(40)).toBe('handshake_failure');
  expect(alertName(255)).toBeNull();
  expect(readAlert(Buffer.from('150301000202ff', 'hex'))).toMatchObject({ description: 255, name: null });
  expect(isAlertName('toString')).toBe(false);
});

test('a real TLS server\'s alert is read', async () => {
  const server = tls.createServer({}).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  socket.write(buildHello({ legacyVersion: 0x0301 }));
  const [bytes] = await once(socket, 'data');
  socket.destroy();
  server.close();
  expect(readAlert(bytes)).toMatchObject({ level: 'fatal', name: 'protocol_version' });
});

test.each([
  ['handshake_failure', 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'], ['access_denied', 'ERR_SSL_TLSV1_ALERT_ACCESS_DENIED'], ['protocol_version', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
] as [AlertName, string][])('a real TLS client understands %s', async (name, code) => {
  const server = createServer((socket) => void socket.once('data', () => socket.end(plaintextAlert(name, 'TLSv1.3')))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  const [error] = await once(client, 'error').catch((caught: unknown) => [caught]);
  server.close();
  expect(error.code).toBe(code);
});
