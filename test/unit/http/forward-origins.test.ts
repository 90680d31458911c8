import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { closing, originWith, proxyWith, whole } from './forward-support.ts';
import { connect, receive } from './harness.ts';

describe('connections to origins', () => {
  it('share one connection an origin, and none with another client', async () => {
    const origin = await originWith((message, response) => response.end(`${String(message.socket.remotePort)} done`));
    const proxy = await proxyWith();
    const one = `GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    const three = await proxy.ask(one + one + one, (text) => text.split(' done').length === 4);
    expect(new Set(three.match(/\d+ done/g)).size).toBe(1);
    await proxy.ask(one, whole);
    expect(origin.connections()).toBe(2);
    expect(proxy.counted.filter((line) => line.startsWith('http_requests_total'))).toHaveLength(4);
  });
});

it('a login that binds to the connection stays with its client', async () => {
  const names = new WeakMap<object, string>();
  const origin = await originWith((message, response) => {
    const said = /^NTLM (\d) (\w+)$/.exec(message.headers.authorization ?? '');
    const [, leg, name = ''] = said ?? [];
    if (leg === '2') names.set(message.socket, name);
    const known = names.get(message.socket);
    if (known !== undefined) response.end(`hello ${known}`);
    else response.writeHead(401, { 'WWW-Authenticate': leg === '1' ? 'NTLM challenge' : 'NTLM' }).end('who');
  });
  const proxy = await proxyWith();
  const asked = (socket: Socket, authorization: string | null): Promise<string> => {
    socket.write(`GET http://a.test:${origin.port}/ HTTP/1.1\r\nHost: a.test\r\n${authorization === null ? '' : `Authorization: ${authorization}\r\n`}\r\n`);
    return receive(socket, (text) => /(?:who|hello \w+)\r\n0\r\n\r\n$|(?:who|hello \w+)$/.test(text));
  };
  const [ann, bob] = [await connect(proxy.port), await connect(proxy.port)];
  closing.push(() => { ann.destroy(); bob.destroy(); });
  expect(await asked(ann, null)).toContain('401');
  expect(await asked(ann, 'NTLM 1 ann')).toContain('NTLM challenge');
  expect(await asked(bob, 'NTLM 1 bob')).toContain('NTLM challenge');
  expect(await asked(ann, 'NTLM 2 ann')).toContain('hello ann');
  expect(await asked(bob, null)).toContain('who');
  expect(await asked(bob, 'NTLM 2 bob')).toContain('hello bob');
  expect(await asked(ann, null)).toContain('hello ann');
});
