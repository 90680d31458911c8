import { createConnection } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { AdminFault } from '../../../src/admin/fault.ts';
import { startAdmin } from '../../../src/admin/server.ts';
import { localView } from '../../../src/sessions/view.ts';
import { init, live, recordingMeter, testTable } from '../sessions/support.ts';
import { startTestAdmin, token } from './support.ts';
import type { TestAdmin, TestAdminOptions } from './support.ts';

let admin: TestAdmin | null = null;
afterEach(async () => {
  await admin?.close();
  admin = null;
});
async function start(options: TestAdminOptions = {}): Promise<TestAdmin> {
  admin = await startTestAdmin(options);
  return admin;
}

describe('requests', () => {
  it('unknown paths are 404 and known paths with another method 405, both as JSON', async () => {
    const { ask } = await start();
    for (const path of ['/nothing', '/api/', '/console/', '/console/../server.ts', '/console/index.html', '/api/sessions/a/b', '/api/sessions/', '/api/explain', '/api/learned', '/api/capture', '//evil', '/api/sessions/%ff']) {
      const answer = await ask(path, { token });
      expect(answer.status, path).toBe(404);
      expect(JSON.parse(answer.text)).toMatchObject({ error: 'NOT_FOUND' });
    }
    const answer = await ask('/api/sessions', { method: 'POST', token, body: '{}' });
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'GET' } });
  });

  it('/api lists what there is, and tells whether the asker may change things', async () => {
    const { ask } = await start({ config: () => ({}) });
    const open = JSON.parse((await ask('/api')).text) as { routes: string[]; writes: boolean };
    expect(open.routes).toEqual(expect.arrayContaining(['GET /api/sessions', 'DELETE /api/sessions/:id', 'GET /api/config', 'GET /']));
    expect(open.routes).not.toContain('POST /api/explain');
    expect(open.writes).toBe(false);
    expect(JSON.parse((await ask('/api', { token })).text)).toMatchObject({ writes: true });
  });

  it('HEAD answers as GET without a body, and connections are kept', async () => {
    const { ask } = await start();
    const head = await ask('/api/sessions', { method: 'HEAD', headers: { connection: 'keep-alive' } });
    expect(head).toMatchObject({ status: 200, text: '', headers: { connection: 'keep-alive' } });
    expect(Number(head.headers['content-length'])).toBeGreaterThan(10);
    expect(await ask('/api/sessions/stream', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  });

  it('every answer forbids caching, sniffing and reading by other origins', async () => {
    const { ask } = await start();
    for (const path of ['/api/sessions', '/nothing', '/healthz', '/metrics']) {
      expect((await ask(path)).headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' });
      expect((await ask(path)).headers).not.toHaveProperty('access-control-allow-origin');
    }
  });

  it('the checks of access stand before every route that is not open', async () => {
    const { ask } = await start();
    for (const path of ['/api/sessions', '/api/sessions/x', '/api/sessions/stream', '/api/summary', '/api/protocols', '/api/errors', '/metrics']) {
      expect((await ask(path, { headers: { host: 'evil.example' } })).status, path).toBe(403);
      expect((await ask(path, { headers: { origin: 'http://evil.example' } })).status, path).toBe(403);
      const wrong = await ask(path, { token: 'wrong' });
      expect(wrong, path).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer realm="sallyport"' } });
    }
    for (const path of ['/healthz', '/readyz']) expect((await ask(path, { headers: { host: 'evil.example' } })).status).toBe(200);
  });

  it('broken requests do not hurt the next one', async () => {
    const { ask, port } = await start();
    for (const bytes of ['\x16\x03\x01\x02\x00', 'GET\r\n\r\n', 'GET * HTTP/1.1\r\nHost: x\r\n\r\n', 'GET http://evil.example/api/sessions HTTP/1.1\r\nHost: evil.example\r\n\r\n', 'POST /api/sessions HTTP/1.1\r\n']) {
      const socket = createConnection(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end(bytes);
      socket.resume();
      await once(socket, 'close');
    }
    expect((await ask('/api/sessions')).status).toBe(200);
  });

  it('an absolute target is not a way around the Host check', async () => {
    const { port } = await start();
    const socket = createConnection(port, '127.0.0.1');
    socket.end('GET http://127.0.0.1/api/sessions HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    socket.setEncoding('utf8');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('start', () => {
  it('refuses an address of others without a token, an empty token, a wrong address, and a taken port', async () => {
    const rest = { limits: limitsWith(), log: silentLogger, view: localView(testTable().table), metrics: async () => ({ contentType: '', body: '' }), health: () => ({ ready: true, reasons: [] }) };
    await expect(startAdmin({ ...rest, listen: '0.0.0.0:0', token: null })).rejects.toThrow('tokenFile');
    await expect(startAdmin({ ...rest, listen: '127.0.0.1:0', token: '' })).rejects.toThrow('empty');
    await expect(startAdmin({ ...rest, listen: '127.0.0.1:0', token: null, readToken: '' })).rejects.toThrow('empty');
    await expect(startAdmin({ ...rest, listen: 'nowhere', token: null })).rejects.toThrow('address');
    const { port } = await start();
    await expect(startAdmin({ ...rest, listen: `127.0.0.1:${port}`, token: null })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('on an address of others every reader needs the token', async () => {
    const { ask } = await start({ listen: '0.0.0.0:0', readToken: 'for-dashboards' });
    expect((await ask('/api/sessions')).status).toBe(401);
    expect((await ask('/api/sessions', { token })).status).toBe(200);
    expect((await ask('/metrics', { token: 'for-dashboards' })).status).toBe(200);
    expect((await ask('/api/sessions/x', { method: 'DELETE', token: 'for-dashboards' })).status).toBe(403);
    expect((await ask('/healthz')).status).toBe(200);
  });
});

describe('bodies', () => {
  const explain = async (question: unknown): Promise<unknown> => ({ question });

  it('are JSON of a bounded size', async () => {
    const { ask } = await start({ explain, limits: { apiBodyBytesMax: 1024 } });
    expect(await ask('/api/explain', { method: 'POST', body: '{"a":1}' })).toMatchObject({ status: 200, text: '{"question":{"a":1}}' });
    expect((await ask('/api/explain', { method: 'POST', body: '{' })).status).toBe(400);
    expect((await ask('/api/explain', { method: 'POST', body: '{}', headers: { 'content-type': 'text/plain' } })).status).toBe(415);
    expect((await ask('/api/explain', { method: 'POST', body: JSON.stringify('x'.repeat(2_000)) })).status).toBe(413);
    expect((await ask('/api/explain', { method: 'POST', body: JSON.stringify('x'.repeat(2_000)), headers: { 'transfer-encoding': 'chunked' } })).status).toBe(413);
    expect((await ask('/api/sessions')).status).toBe(200);
  });

  it('that never end are cut off', async () => {
    const { port } = await start({ explain, limits: { adminRequestMs: 300 } });
    const socket = createConnection(port, '127.0.0.1');
    socket.write('POST /api/explain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
    socket.resume();
    await once(socket, 'close');
  });
});

describe('connections', () => {
  it('are bounded, and refusals are counted', async () => {
    const meter = recordingMeter();
    const { port, ask } = await start({ meter, limits: { adminConnectionsMax: 3 } });
    const sockets = Array.from({ length: 3 }, () => createConnection(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    await expect(ask('/healthz')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(meter.sums.get('limits_hit_total{adminConnectionsMax}')).toBe(1);
    sockets.forEach((socket) => socket.destroy());
    await expect.poll(async () => ask('/healthz').then((answer) => answer.status, () => 0)).toBe(200);
  });
});

describe('callbacks', () => {
  it('their routes exist only with them, and changing ones need the token', async () => {
    const calls: unknown[] = [];
    const note = (name: string) => async (...args: unknown[]): Promise<unknown> => {
      calls.push([name, ...args]);
      return { did: name };
    };
    const { ask } = await start({
      config: () => ({ state: '/var/lib/sallyport' }), reload: note('reload'), issuer: note('issuer'), revoke: note('revoke'),
      learned: { list: note('list'), forget: async (key) => (calls.push(['forget', key]), 2) },
      capture: { state: note('state'), start: note('start'), stop: note('stop') },
    });
    expect((await ask('/api/config')).text).toBe('{"state":"/var/lib/sallyport"}');
    expect((await ask('/api/issuer')).text).toBe('{"did":"issuer"}');
    expect((await ask('/api/learned')).text).toBe('{"did":"list"}');
    for (const [method, path] of [['POST', '/api/reload'], ['POST', '/api/issuer/revoke'], ['DELETE', '/api/learned?key=k'], ['GET', '/api/capture'], ['POST', '/api/capture'], ['DELETE', '/api/capture']] as const) {
      expect((await ask(path, { method })).status, path).toBe(403);
      expect((await ask(path, { method, token })).status, path).toBe(200);
    }
    expect(calls).toEqual([['issuer'], ['list'], ['reload'], ['revoke', undefined], ['forget', 'k'], ['state'], ['start', undefined], ['stop']]);
  });

  it('their faults are answered as they are, and their defects as 500, counted and without a word of them', async () => {
    const meter = recordingMeter();
    const { ask } = await start({
      meter,
      explain: async () => Promise.reject(new AdminFault(400, 'BAD_QUESTION', 'destination is missing', ['destination'])),
      issuer: async () => Promise.reject(new Error('secret path')),
    });
    expect(JSON.parse((await ask('/api/explain', { method: 'POST', body: '{}' })).text)).toEqual({ error: 'BAD_QUESTION', message: 'destination is missing', allowed: ['destination'] });
    const broken = await ask('/api/issuer');
    expect(broken.status).toBe(500);
    expect(broken.text).not.toContain('secret');
    expect(meter.sums.get('internal_errors_total{}')).toBe(1);
  });

  it('close ends what is open', async () => {
    const started = await startTestAdmin();
    const socket = createConnection(started.port, '127.0.0.1');
    await once(socket, 'connect');
    started.tables[0]?.open(init(), live());
    socket.write('GET /api/sessions/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await once(socket, 'data');
    socket.resume();
    const closed = once(socket, 'close');
    await started.close();
    await closed;
  });
});
