import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import type { Flow } from '../../../src/core/flow.ts';
import { Dialler, letGo, listenTo } from '../../../src/http/sides.ts';
import { connect, depsFor, receive, startRawOrigin } from './harness.ts';

const noFlow = {} as Flow;

test('one dial serves all that was sent meanwhile, in order', async () => {
  const origin = await startRawOrigin('ok', (text) => text === 'abc');
  let dials = 0;
  const dialler = new Dialler(noFlow, depsFor({ dial: () => ((dials += 1), connect(origin.port)) }));
  const socket = await new Promise<Socket>((resolve, reject) => {
    for (const part of ['a', 'b', 'c']) dialler.send(Buffer.from(part), resolve, reject);
    expect(dialler.busy).toBe(true);
  });
  expect(dialler.busy).toBe(false);
  expect(await receive(socket, (text) => text === 'ok')).toBe('ok');
  expect(dials).toBe(1);
  socket.destroy();
  origin.close();
});

test('a dial that fails says so once', async () => {
  const dialler = new Dialler(noFlow, depsFor());
  const error = await new Promise((resolve, reject) => dialler.send(Buffer.from('a'), reject, resolve));
  expect(error).toBeInstanceOf(FlowError);
  expect(dialler.busy).toBe(false);
});

test('a socket let go has no listener of ours but the one that ignores errors', () => {
  const socket = Object.assign(new EventEmitter(), { resume: () => {} }) as unknown as Socket;
  const nothing = (): void => {};
  const side = { data: nothing, end: nothing, drain: nothing, error: nothing, close: nothing };
  listenTo(socket, side);
  expect(socket.listenerCount('data')).toBe(1);
  letGo(socket, side);
  expect(['data', 'end', 'drain', 'close', 'error'].map((event) => socket.listenerCount(event))).toEqual([0, 0, 0, 0, 1]);
});
