import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions, TlsOptions, TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { issueServer } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';
import { buildHello, helloBytes, serverName } from '../../support/client-hellos.ts';
import { readAll, readBytes } from '../../support/pair.ts';
import { openWorld, serverRoot, startGateway, tcpServer, untrustedRoot } from './support.ts';
import type { GatewayOptions, TestGateway, TestServer, World } from './support.ts';

let world: World;
const toClose: { close(): Promise<void> }[] = [];
const clients: Socket[] = [];

beforeAll(async () => {
  world = await openWorld();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const each of toClose.splice(0)) await each.close();
});
afterAll(() => world.certificates.close());

const good = issueServer(serverRoot, { names: ['site.test'] });

/** A TLS server that echoes, after `hello` where there is one. */
async function tlsServer(cert: TestCert = good, options: TlsOptions & { say?: string; allowHalfOpen?: boolean } = {}): Promise<TestServer> {
  const server = await tcpServer((socket) => {
    if (options.say !== undefined) socket.write(options.say);
    socket.on('data', (chunk: Buffer) => socket.write(`echo:${chunk.toString()}`));
    socket.on('end', () => socket.end());
  }, (accept) => createTlsServer({ cert: cert.chainPem, key: cert.keyPem, ...options } as TlsOptions, accept).on('tlsClientError', () => {}));
  toClose.push(server);
  return server;
}

/** A TCP server that does what it is told with each connection. */
async function server(serve: (socket: Socket) => void): Promise<TestServer> {
  const made = await tcpServer(serve);
  toClose.push(made);
  return made;
}

function echoServer(): Promise<TestServer> {
  return server((socket) => {
    socket.on('data', (chunk: Buffer) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });
}

async function gateway(upstream: TestServer | number, options: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const port = typeof upstream === 'number' ? upstream : upstream.port;
  const made = await startGateway(world, { destination: { ip: '127.0.0.1', port, host: null }, ...options });
  toClose.push(made);
  return made;
}

function tcp(port: number): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  clients.push(socket);
  return socket;
}

function tls(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'site.test', ca: [world.caPem, serverRoot.certPem], ...options });
  socket.on('error', () => {});
  clients.push(socket);
  return socket;
}

/** `secure`, or the code of the error. */
async function outcome(client: TLSSocket): Promise<string> {
  return await new Promise((resolve) => {
    client.once('secureConnect', () => resolve('secure'));
    client.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
    client.once('close', () => resolve('closed'));
  });
}

async function talk(client: TLSSocket, words: string): Promise<string> {
  const answer = once(client, 'data');
  client.write(words);
  return String((await answer)[0]);
}

function issuerOf(client: TLSSocket): string {
  return client.getPeerX509Certificate()?.issuer ?? '';
}

/** After every flow: nothing of the gateway is open, nothing was a defect, and no server connection is left. */
async function clean(at: TestGateway, upstream?: TestServer): Promise<void> {
  await at.quiet();
  expect(at.defects).toEqual([]);
  expect(at.counts.get('internal_errors_total ') ?? 0).toBe(0);
  if (upstream === undefined) return;
  for (let waits = 0; upstream.sockets.size > 0 && waits < 100; waits += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(upstream.sockets.size).toBe(0);
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  const only = { minVersion: version, maxVersion: version } as const;

  test('intercepted: an emulated certificate, bytes both ways, half-close in order', async () => {
    const upstream = await tlsServer(good, { allowHalfOpen: true });
    const at = await gateway(upstream);
    const client = tls(at.port, { ...only, allowHalfOpen: true } as ConnectionOptions);
    await once(client, 'secureConnect');
    expect(client.authorized).toBe(true);
    expect(issuerOf(client)).not.toContain('Servers');
    expect(await talk(client, '\x01strange')).toBe('echo:\x01strange');
    client.end('\x01last');
    expect((await readAll(client)).toString()).toBe('echo:\x01last');
    const session = await at.ended();
    expect(session).toMatchObject({ protocol: 'unknown', chain: ['tls', 'unknown'], action: 'relay', error: null, tunnelledOnError: null, sni: 'site.test', state: 'closed' });
    expect(session.tls.client?.version).toBe(version);
    await clean(at, upstream);
  });

  test('a server that requires a client certificate: tunnelled with clientCert tunnel, the hello replayed', async () => {
    const clientCert = issueServer(serverRoot, { cn: 'user', extKeyUsage: ['1.3.6.1.5.5.7.3.2'] });
    const upstream = await tlsServer(good, { requestCert: true, rejectUnauthorized: true, ca: serverRoot.certPem });
    const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept, clientCert: tunnel } ]' });
    const client = tls(at.port, { ...only, cert: clientCert.certPem, key: clientCert.keyPem });
    await once(client, 'secureConnect');
    expect(await talk(client, 'hi')).toBe('echo:hi');
    expect(issuerOf(client)).toContain('Servers');
    client.end();
    expect(await at.ended()).toMatchObject({ protocol: 'tls', chain: ['tls'], action: 'tunnel', tunnelledOnError: 'UPSTREAM_WANTS_CLIENT_CERT', error: null });
    await clean(at, upstream);
  });

  test.each(['deny', 'continue'])('a server that requires a client certificate: clientCert %s ends with the code and an alert', async (clientCert) => {
    const upstream = await tlsServer(good, { requestCert: true, rejectUnauthorized: true, ca: serverRoot.certPem });
    const at = await gateway(upstream, { policy: `ssl: [ { then: intercept, tunnelOnError: true, clientCert: ${clientCert} } ]` });
    expect(await outcome(tls(at.port, only))).toMatch(/ALERT_HANDSHAKE_FAILURE/);
    expect(await at.ended()).toMatchObject({ error: 'UPSTREAM_WANTS_CLIENT_CERT', tunnelledOnError: null, action: 'intercept', state: 'errored' });
    await clean(at, upstream);
  });

  test.each([
    ['listed: tunnelled', '[UPSTREAM_OFFERS_CLIENT_CERT]', 'tunnel', 'UPSTREAM_OFFERS_CLIENT_CERT'],
    ['not listed: intercepted', 'true', 'relay', null],
  ])('a server that only offers to take a client certificate, %s', async (_name, codes, action, tunnelledOnError) => {
    const upstream = await tlsServer(good, { requestCert: true, rejectUnauthorized: false });
    const at = await gateway(upstream, { policy: `ssl: [ { then: intercept, tunnelOnError: ${codes}, clientCert: tunnel } ]` });
    const client = tls(at.port, only);
    await once(client, 'secureConnect');
    expect(await talk(client, '\x01hi')).toBe('echo:\x01hi');
    client.end();
    expect(await at.ended()).toMatchObject({ action, tunnelledOnError, error: null });
    expect(at.counts.get('tunnelled_on_error_total UPSTREAM_OFFERS_CLIENT_CERT') ?? 0).toBe(tunnelledOnError === null ? 0 : 1);
    await clean(at, upstream);
  });

  test('a client that does not trust the gateway: CLIENT_REJECTED_CERT', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, { tunnelOnError: 'true' });
    const client = connectTls({ port: at.port, host: '127.0.0.1', servername: 'site.test', ca: serverRoot.certPem, ...only });
    client.on('error', () => {});
    clients.push(client);
    expect((await at.ended()).error).toMatch(/^CLIENT_(REJECTED_CERT|LEFT_SILENTLY)$/);
    await clean(at, upstream);
  });

  test('a client that closes right after the handshake: CLIENT_LEFT_SILENTLY, and the server connection goes too', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream);
    const client = tls(at.port, only);
    await once(client, 'secureConnect');
    client.destroy();
    expect(await at.ended()).toMatchObject({ error: 'CLIENT_LEFT_SILENTLY', chain: ['tls'] });
    await clean(at, upstream);
  });

  describe('certificate stage', () => {
    const bad: [string, CertSpec, TestCert | null, string][] = [
      ['expired', { names: ['site.test'], notBefore: new Date(Date.now() - 9e9), days: 30 }, serverRoot, 'UPSTREAM_CERT_EXPIRED'],
      ['self-signed', { names: ['site.test'] }, null, 'UPSTREAM_CERT_SELF_SIGNED'],
      ['untrusted', { names: ['site.test'] }, untrustedRoot, 'UPSTREAM_CERT_UNTRUSTED'],
      ['name', { names: ['other.test'] }, serverRoot, 'UPSTREAM_CERT_NAME'],
    ];

    test.each(bad)('deny (%s): the reason is told inside TLS to who asks in HTTP', async (_name, spec, parent, code) => {
      const upstream = await tlsServer(issueServer(parent, spec));
      const at = await gateway(upstream, { tunnelOnError: 'true' });
      const client = tls(at.port, only);
      await once(client, 'secureConnect');
      client.write('GET / HTTP/1.1\r\nHost: site.test\r\n\r\n');
      const page = (await readAll(client)).toString();
      expect(page).toMatch(/^HTTP\/1\.1 502 /);
      expect(page).toContain(code);
      expect(await at.ended()).toMatchObject({ error: code, action: 'deny', tunnelledOnError: null });
      await clean(at, upstream);
    });

    test('deny: who says nothing, or something unknown, is ended with the same code', async () => {
      const upstream = await tlsServer(issueServer(null, { names: ['site.test'] }));
      const at = await gateway(upstream);
      const silent = tls(at.port, only);
      await readAll(silent);
      expect(await at.ended(1)).toMatchObject({ error: 'UPSTREAM_CERT_SELF_SIGNED', action: 'deny' });
      const strange = tls(at.port, only);
      await once(strange, 'secureConnect');
      strange.write('\x01\x02');
      expect(await readAll(strange)).toHaveLength(0);
      expect(await at.ended(2)).toMatchObject({ error: 'UPSTREAM_CERT_SELF_SIGNED', action: 'deny' });
      await clean(at, upstream);
    });

    test('deny with handoff false: an alert before the handshake', async () => {
      const upstream = await tlsServer(issueServer(null, { names: ['site.test'] }));
      const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept, handoff: false } ]' });
      expect(await outcome(tls(at.port, only))).toMatch(/ALERT/);
      expect(await at.ended()).toMatchObject({ error: 'UPSTREAM_CERT_SELF_SIGNED', action: 'deny' });
      await clean(at, upstream);
    });

    test('accept: served with a trusted certificate', async () => {
      const upstream = await tlsServer(issueServer(untrustedRoot, { names: ['site.test'] }));
      const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept } ]\n  certificate: [ { name: fine, then: accept } ]' });
      const client = tls(at.port, only);
      await once(client, 'secureConnect');
      expect(client.authorized).toBe(true);
      expect(await talk(client, '\x01a')).toBe('echo:\x01a');
      client.end();
      const session = await at.ended();
      expect(session).toMatchObject({ error: null, action: 'relay' });
      expect(session.tls.upstream?.problems).toEqual(['untrusted']);
      await clean(at, upstream);
    });

    test('mirror-untrusted: the client sees a certificate it does not trust either', async () => {
      const upstream = await tlsServer(issueServer(untrustedRoot, { names: ['site.test'] }));
      const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept } ]\n  certificate: [ { then: mirror-untrusted } ]' });
      const client = tls(at.port, { ...only, rejectUnauthorized: false });
      await once(client, 'secureConnect');
      expect(client.authorized).toBe(false);
      expect(await talk(client, '\x01a')).toBe('echo:\x01a');
      client.end();
      const session = await at.ended();
      expect(session.tls.leaf?.mirrored).toBe(true);
      await clean(at, upstream);
    });

    test('tunnel: the client meets the server\'s own certificate', async () => {
      const upstream = await tlsServer(issueServer(untrustedRoot, { names: ['site.test'] }));
      const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept } ]\n  certificate: [ { name: own, then: tunnel } ]' });
      const client = tls(at.port, { ...only, ca: untrustedRoot.certPem });
      await once(client, 'secureConnect');
      expect(client.authorized).toBe(true);
      expect(await talk(client, 'a')).toBe('echo:a');
      client.end();
      expect(await at.ended()).toMatchObject({ error: null, action: 'tunnel', protocol: 'tls', rule: 'certificate/own', tunnelledOnError: null });
      expect(upstream.accepted).toBe(2);
      await clean(at, upstream);
    });
  });

  test.each([
    ['a good certificate: tunnelled', good, 'tunnel', 'Servers'],
    ['a bad certificate: the certificate stage decides', issueServer(untrustedRoot, { names: ['site.test'] }), 'relay', 'Nobody'],
  ] as const)('intercept-on-exception, %s', async (_name, cert, action, issuer) => {
    const upstream = await tlsServer(cert);
    const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept-on-exception } ]\n  certificate: [ { then: accept } ]' });
    const client = tls(at.port, only);
    await once(client, 'secureConnect');
    expect(issuerOf(client).includes(issuer)).toBe(action === 'tunnel');
    expect(await talk(client, '\x01a')).toBe('echo:\x01a');
    client.end();
    expect(await at.ended()).toMatchObject({ error: null, action, tunnelledOnError: null });
    await clean(at, upstream);
  });

  test('handoff false: relayed decrypted without a look', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept, handoff: false } ]' });
    const client = tls(at.port, only);
    await once(client, 'secureConnect');
    expect(await talk(client, 'GET / HTTP/1.1\r\n\r\n')).toBe('echo:GET / HTTP/1.1\r\n\r\n');
    client.end();
    expect(await at.ended()).toMatchObject({ protocol: 'undetected', chain: ['tls', 'undetected'], action: 'relay', note: 'detection is off', error: null });
    await clean(at, upstream);
  });

  test('minting fails: tunnelled where listed, else an alert', async () => {
    const upstream = await tlsServer();
    const certFor = () => Promise.reject(new FlowError('MINT_FAILED'));
    const listed = await gateway(upstream, { certFor, tunnelOnError: 'true' });
    const client = tls(listed.port, only);
    await once(client, 'secureConnect');
    expect(issuerOf(client)).toContain('Servers');
    client.end();
    expect(await listed.ended()).toMatchObject({ tunnelledOnError: 'MINT_FAILED', action: 'tunnel', error: null });
    const strict = await gateway(upstream, { certFor });
    expect(await outcome(tls(strict.port, only))).toMatch(/ALERT_INTERNAL_ERROR/);
    expect(await strict.ended()).toMatchObject({ tunnelledOnError: null, error: 'MINT_FAILED' });
    await clean(listed);
    await clean(strict, upstream);
  });

  test('a server that speaks first inside TLS is heard', async () => {
    const upstream = await tlsServer(good, { say: '220 ready\r\n' });
    const at = await gateway(upstream);
    const client = tls(at.port, only);
    expect(String((await once(client, 'data'))[0])).toBe('220 ready\r\n');
    client.end();
    expect(await at.ended()).toMatchObject({ protocol: 'unknown', note: 'the server spoke first', error: null });
    await clean(at, upstream);
  });

  test('the server resets while the client still shakes hands: no defect, nothing open', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, {
      certFor: async (request) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        for (const socket of upstream.sockets) socket.resetAndDestroy();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return await world.certificates.certFor(request);
      },
    });
    const client = tls(at.port, only);
    await readAll(client);
    expect((await at.ended()).error).toBe('RESET_BY_UPSTREAM');
    await clean(at, upstream);
  });
});
