import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions, TlsOptions, TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { issueServer } from '../../support/certs.ts';
import type { CertSpec, TestCert } from '../../support/certs.ts';
import { buildHello, helloBytes, helloFiles, serverName } from '../../support/client-hellos.ts';
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
    client.end('quit\r\n');
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

const pseudoHello = Buffer.concat([Buffer.from('160301002d010000290301', 'hex'), Buffer.alloc(32, 7), Buffer.from('00000200180100', 'hex')]);
const get = 'GET / HTTP/1.1\r\nHost: site.test\r\n\r\n';
const sipOptions = 'OPTIONS sip:a@site.test SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@site.test>;tag=1\r\nTo: <sip:a@site.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n';
const strangeHello = buildHello({ extensions: [serverName('site.test')], trailing: Buffer.from([1, 2, 3]) });

describe('before a protocol is known', () => {
  test.each([
    ['NOT_TLS', 'hello\r\n', '[NOT_TLS]'],
    ['HELLO_MALFORMED', strangeHello, '[HELLO_MALFORMED]'],
    ['FIRST_BYTES_STALLED', Buffer.from([0x16, 3, 1]), '[FIRST_BYTES_STALLED]'],
    ['NO_COMMON_TLS', helloBytes(helloNamed('tls10')), '[NO_COMMON_TLS]'],
  ] as const)('%s on an ssl service: listed, tunnelled with every byte replayed; not listed, ended with nothing sent to the server', async (code, bytes, listed) => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { type: 'ssl', tunnelOnError: listed });
    const client = tcp(at.port);
    client.write(bytes);
    expect(await readBytes(client, bytes.length)).toEqual(Buffer.from(bytes));
    client.end();
    const tunnelled = await at.ended();
    expect(tunnelled).toMatchObject({ tunnelledOnError: code, error: null, action: 'tunnel', state: 'closed' });
    expect(tunnelled.bytes).toEqual({ fromClient: bytes.length, toUpstream: bytes.length, fromUpstream: bytes.length, toClient: bytes.length });
    await clean(at, upstream);

    const heard = upstream.accepted;
    const strict = await gateway(upstream, { type: 'ssl' });
    const refused = tcp(strict.port);
    refused.write(bytes);
    await readAll(refused);
    expect(await strict.ended()).toMatchObject({ tunnelledOnError: null, error: code, state: 'errored' });
    expect(upstream.accepted).toBe(heard);
    await clean(strict, upstream);
  });

  test.each([[1], [3], [7]])('a tunnel replays a hello that came in pieces of %i bytes', async (size) => {
    const hello = helloBytes(helloNamed('openssl'));
    const upstream = await echoServer();
    const at = await gateway(upstream, { policy: 'ssl: [ { then: tunnel } ]', limits: { detectMs: 4_000 } });
    const client = tcp(at.port);
    client.setNoDelay(true);
    await once(client, 'connect');
    for (let from = 0; from < hello.length; from += size) {
      client.write(hello.subarray(from, from + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await readBytes(client, hello.length)).toEqual(hello);
    client.end();
    expect(await at.ended()).toMatchObject({ action: 'tunnel', protocol: 'tls', tunnelledOnError: null });
    await clean(at, upstream);
  });

  test('silence on both sides of an ssl service: FIRST_BYTES_STALLED', async () => {
    const upstream = await server((socket) => void socket.resume().on('end', () => socket.end()));
    const at = await gateway(upstream, { type: 'ssl' });
    const client = tcp(at.port);
    await readAll(client);
    expect(await at.ended()).toMatchObject({ error: 'FIRST_BYTES_STALLED', protocol: 'unknown', note: 'too few first bytes in time' });
    await clean(at, upstream);
  });

  test('a server that speaks first on a tcp-tunnel is heard after the race', async () => {
    const upstream = await server((socket) => void socket.end('220 ready\r\n'));
    const at = await gateway(upstream);
    const client = tcp(at.port);
    expect(await readBytes(client, 11)).toEqual(Buffer.from('220 ready\r\n'));
    client.end();
    expect(await at.ended()).toMatchObject({ protocol: 'unknown', action: 'relay', note: 'the server spoke first', error: null });
    expect(upstream.accepted).toBe(1);
    await clean(at, upstream);
  });

  test('a client that leaves without a word: CLIENT_CLOSED_EARLY, and the early connection is closed', async () => {
    const upstream = await server((socket) => void socket.resume().on('end', () => socket.end()));
    const at = await gateway(upstream);
    const client = tcp(at.port);
    await once(client, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(upstream.accepted).toBe(1);
    client.end();
    expect(await at.ended()).toMatchObject({ error: 'CLIENT_CLOSED_EARLY' });
    await clean(at, upstream);
  });

  test('a client that resets', async () => {
    const upstream = await server((socket) => void socket.resume().on('end', () => socket.end()));
    const at = await gateway(upstream);
    const client = tcp(at.port);
    await once(client, 'connect');
    client.write('x');
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.resetAndDestroy();
    expect(await at.ended()).toMatchObject({ error: 'RESET_BY_CLIENT' });
    await clean(at, upstream);
  });

  test('detection switched off by rule: relayed as undetected, whatever it is, also on an ssl service', async () => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { type: 'ssl', detectProtocol: 'false', policy: 'connection: [ { then: allow, detect: { off: [tls] } } ]' });
    const client = tcp(at.port);
    client.write('anything');
    expect(await readBytes(client, 8)).toEqual(Buffer.from('anything'));
    client.end();
    expect(await at.ended()).toMatchObject({ protocol: 'undetected', action: 'relay', note: 'detection is off', error: null });
    await clean(at, upstream);
  });
});

function helloNamed(word: string): string {
  const found = helloFiles.find((file) => file.includes(word));
  if (found === undefined) throw new Error(`no hello of ${word}: ${helloFiles.join(' ')}`);
  return found;
}

describe('policy', () => {
  test('connection deny: reset, no byte to the server', async () => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { policy: 'connection: [ { name: no, then: deny } ]' });
    const client = tcp(at.port);
    client.write(get);
    const [error] = await once(client, 'error') as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(await at.ended()).toMatchObject({ error: 'CONNECTION_DENIED', action: 'deny', rule: 'connection/no' });
    expect(upstream.accepted).toBe(0);
    await clean(at, upstream);
  });

  test('connection tunnel: nothing is looked at', async () => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { policy: 'connection: [ { name: all, then: tunnel } ]' });
    const client = tcp(at.port);
    client.end(get);
    expect((await readAll(client)).toString()).toBe(get);
    expect(await at.ended()).toMatchObject({ error: null, action: 'tunnel', protocol: 'undetected', chain: ['undetected'], rule: 'connection/all' });
    await clean(at, upstream);
  });

  test('ssl deny: an alert that says access_denied', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, { policy: 'ssl: [ { name: no, then: deny } ]', tunnelOnError: 'true' });
    expect(await outcome(tls(at.port))).toMatch(/ALERT_ACCESS_DENIED/);
    expect(await at.ended()).toMatchObject({ error: 'CONNECTION_DENIED', action: 'deny', rule: 'ssl/no' });
    expect(upstream.accepted).toBe(0);
    await clean(at, upstream);
  });

  test.each([
    ['ssl: [ { then: tunnel } ]'],
    ['ssl: [ { then: intercept, tunnelOnError: [MINT_FAILED] } ]'],
  ])('TLS that would stay closed (%s) may be denied by the protocol stage: an alert, not a tunnel', async (ssl) => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, {
      policy: `${ssl}\n  protocol: [ { name: closed, when: { tls: tunnelled }, then: deny } ]`, certFor: () => Promise.reject(new FlowError('MINT_FAILED')),
    });
    expect(await outcome(tls(at.port))).toMatch(/ALERT/);
    expect(await at.ended()).toMatchObject({ error: 'PROTOCOL_DENIED', action: 'deny', rule: 'protocol/closed', tunnelledOnError: null });
    await clean(at, upstream);
  });

  test('protocol deny: HTTP is told in HTTP, SIP in SIP, the unknown by a reset', async () => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { policy: 'protocol: [ { name: no, then: deny } ]' });
    const http = tcp(at.port);
    http.write(get);
    expect((await readAll(http)).toString()).toMatch(/^HTTP\/1\.1 403 [\s\S]*PROTOCOL_DENIED[\s\S]*Detail: http\n/);
    expect(await at.ended(1)).toMatchObject({ protocol: 'http', error: 'PROTOCOL_DENIED', errorDetail: 'http', action: 'deny', rule: 'protocol/no' });
    const sip = tcp(at.port);
    sip.write(sipOptions);
    expect((await readAll(sip)).toString()).toMatch(/^SIP\/2\.0 403 /);
    expect(await at.ended(2)).toMatchObject({ protocol: 'sip', error: 'PROTOCOL_DENIED', action: 'deny' });
    const strange = tcp(at.port);
    strange.write('\x01\x02\x03\x04\x05\x06\x07\x08');
    const [error] = await once(strange, 'error') as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(await at.ended(3)).toMatchObject({ protocol: 'unknown', error: 'PROTOCOL_DENIED', action: 'deny' });
    expect(upstream.accepted).toBe(0);
    await clean(at, upstream);
  });

  test('protocol deny inside TLS reaches the client inside TLS', async () => {
    const upstream = await tlsServer();
    const at = await gateway(upstream, { policy: 'ssl: [ { then: intercept } ]\n  protocol: [ { when: { tls: intercepted }, then: deny } ]' });
    const client = tls(at.port);
    await once(client, 'secureConnect');
    client.write(get);
    expect((await readAll(client)).toString()).toMatch(/^HTTP\/1\.1 403 /);
    expect(await at.ended()).toMatchObject({ protocol: 'https', chain: ['tls', 'https'], error: 'PROTOCOL_DENIED', action: 'deny' });
    const strange = tls(at.port);
    await once(strange, 'secureConnect');
    strange.write('\x01\x02\x03');
    expect(await readAll(strange)).toHaveLength(0);
    expect(await at.ended(2)).toMatchObject({ protocol: 'unknown', error: 'PROTOCOL_DENIED' });
    await clean(at, upstream);
  });

  test('protocol relay: known and passed unparsed', async () => {
    const upstream = await echoServer();
    const at = await gateway(upstream, { policy: 'protocol: [ { name: pass, then: relay } ]' });
    const client = tcp(at.port);
    client.end(get);
    expect((await readAll(client)).toString()).toBe(get);
    expect(await at.ended()).toMatchObject({ protocol: 'http', action: 'relay', error: null, rule: 'protocol/pass' });
    await clean(at, upstream);
  });
});

describe('inside a handler', () => {
  test('HTTP that is broken from the start is relayed where listed, refused otherwise', async () => {
    const broken = 'GET /a b HTTP/1.1\r\nHost: site.test\r\n\r\n';
    const upstream = await echoServer();
    const listed = await gateway(upstream, { tunnelOnError: '[HTTP_MALFORMED]' });
    const client = tcp(listed.port);
    client.end(broken);
    expect((await readAll(client)).toString()).toBe(broken);
    expect(await listed.ended()).toMatchObject({ protocol: 'unknown', tunnelledOnError: 'HTTP_MALFORMED', error: null, action: 'relay' });
    await clean(listed, upstream);
    const strict = await gateway(upstream);
    const refused = tcp(strict.port);
    refused.write(broken);
    expect((await readAll(refused)).toString()).toMatch(/^HTTP\/1\.1 400 /);
    expect(await strict.ended()).toMatchObject({ protocol: 'http', tunnelledOnError: null, error: 'HTTP_MALFORMED' });
    await clean(strict, upstream);
  });
});

describe('the server side fails while the client is unanswered', () => {
  const noTls = (socket: Socket): void => void socket.once('data', () => socket.write('220 not TLS at all\r\n'));
  const alert = (socket: Socket): void => void socket.once('data', () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 40])));
  test.each([
    ['UPSTREAM_NOT_TLS', noTls, /^220 not/],
    ['UPSTREAM_TLS_ALERT', alert, /^\x15/],
    ['UPSTREAM_TLS_TIMEOUT', (): void => {}, /^$/],
  ] as const)('%s: tunnelled where listed, an alert otherwise', async (code, serve, answer) => {
    const upstream = await server((socket) => {
      serve(socket);
      socket.on('data', () => {});
      socket.on('end', () => socket.end());
    });
    const limits = { upstreamHandshakeMs: 200 } as const;
    const listed = await gateway(upstream, { tunnelOnError: 'true', limits });
    const client = tcp(listed.port);
    client.write(helloBytes(helloNamed('openssl')));
    if (code === 'UPSTREAM_TLS_TIMEOUT') await new Promise((resolve) => setTimeout(resolve, 400));
    client.end();
    expect((await readAll(client)).toString('latin1')).toMatch(answer);
    expect(await listed.ended()).toMatchObject({ tunnelledOnError: code, action: 'tunnel', error: null });
    await clean(listed, upstream);
    const strict = await gateway(upstream, { limits });
    expect(await outcome(tls(strict.port))).toMatch(/ALERT/);
    expect(await strict.ended()).toMatchObject({ error: code, tunnelledOnError: null });
    await clean(strict, upstream);
  });

  test('a refused dial: a reset, as the server would have, never a tunnel', async () => {
    const gone = await echoServer();
    await gone.close();
    const at = await gateway(gone.port, { tunnelOnError: 'true' });
    expect(await outcome(tls(at.port))).toBe('ECONNRESET');
    expect(await at.ended(1)).toMatchObject({ error: 'DIAL_REFUSED', tunnelledOnError: null });
    const plain = tcp(at.port);
    plain.write('\x01\x02');
    const [error] = await once(plain, 'error') as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(await at.ended(2)).toMatchObject({ error: 'DIAL_REFUSED' });
    await clean(at);
  });

  test('the server is gone when the tunnel is dialled: one code, and what was tried', async () => {
    const upstream = await server((socket) => {
      void upstream.close();
      socket.once('data', () => socket.destroy());
    });
    toClose.splice(toClose.indexOf(upstream), 1);
    const at = await gateway(upstream, { tunnelOnError: 'true' });
    expect(await outcome(tls(at.port))).toBe('ECONNRESET');
    expect(await at.ended()).toMatchObject({ error: 'DIAL_REFUSED', tunnelledOnError: 'UPSTREAM_TLS_ALERT' });
    await clean(at);
  });

  test('the client is gone while the server is asked: no tunnel, no second dial', async () => {
    const upstream = await server((socket) => void socket.once('data', () => {
      setTimeout(() => socket.destroy(), 100);
    }));
    const at = await gateway(upstream, { tunnelOnError: 'true' });
    const client = tcp(at.port);
    client.write(helloBytes(helloNamed('openssl')));
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.resetAndDestroy();
    expect(await at.ended()).toMatchObject({ tunnelledOnError: null, state: 'errored' });
    expect(upstream.accepted).toBe(1);
    await clean(at, upstream);
  });
});

describe('layers inside each other', () => {
  /** An HTTP proxy on plain TCP: after CONNECT it is the TLS server itself. */
  async function proxyInFrontOf(inner: TestServer): Promise<TestServer> {
    return await server((socket) => {
      socket.once('data', () => {
        const onward = connectTcp(inner.port, '127.0.0.1');
        onward.on('error', () => socket.destroy());
        socket.on('end', () => onward.destroy()).on('close', () => onward.destroy());
        onward.on('close', () => socket.destroy());
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.pipe(onward).pipe(socket);
      });
    });
  }

  test('TLS behind a CONNECT to another proxy is opened through that proxy', async () => {
    const origin = await tlsServer();
    const proxy = await proxyInFrontOf(origin);
    const at = await gateway(proxy, { type: 'http' });
    const raw = tcp(at.port);
    raw.write('CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n');
    expect((await readBytes(raw, 19)).toString()).toBe('HTTP/1.1 200 OK\r\n\r\n');
    const client = connectTls({ socket: raw, servername: 'site.test', ca: world.caPem });
    client.on('error', () => {});
    await once(client, 'secureConnect');
    expect(await talk(client, '\x01a')).toBe('echo:\x01a');
    client.end();
    expect(await at.ended()).toMatchObject({ chain: ['http', 'tls', 'unknown'], error: null, sni: 'site.test' });
    expect(proxy.accepted).toBe(1);
    await clean(at, proxy);
  });

  test('its failure cannot become a tunnel: the client hears an alert, one code', async () => {
    const plain = await server((socket) => void socket.on('data', () => socket.write('220 no TLS here\r\n')).on('end', () => socket.end()));
    const proxy = await proxyInFrontOf(plain);
    const at = await gateway(proxy, { type: 'http', tunnelOnError: 'true' });
    const raw = tcp(at.port);
    raw.write('CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n');
    await readBytes(raw, 19);
    raw.read(19);
    const client = connectTls({ socket: raw, servername: 'site.test', ca: world.caPem });
    expect(await outcome(client)).toMatch(/ALERT/);
    expect(await at.ended()).toMatchObject({ error: 'UPSTREAM_NOT_TLS', tunnelledOnError: null });
    await clean(at, proxy);
  });
});

test('MS-TURN pseudo-TLS on an ssl service is known and handed off', async () => {
  const upstream = await server((socket) => void socket.on('data', () => {}).on('end', () => socket.end()));
  const at = await gateway(upstream, { type: 'ssl' });
  const client = tcp(at.port);
  client.write(pseudoHello);
  await new Promise((resolve) => setTimeout(resolve, 50));
  client.end();
  expect(await at.ended()).toMatchObject({ protocol: 'ms-turn', chain: ['ms-turn'], action: 'handoff' });
  await clean(at, upstream);
});
