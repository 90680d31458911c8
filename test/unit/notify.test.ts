// Words for the service manager, received by a datagram socket of Python's (Node has none of that kind).

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { serviceManager } from '../../src/notify.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-notify-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = `
import json, socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1] if sys.argv[1][0] == "/" else "\\0" + sys.argv[1][1:])
manager.settimeout(10)
print("ready", flush=True)
for _ in range(int(sys.argv[2])): print(json.dumps(manager.recv(4096).decode()), flush=True)
`;

/** A service manager's socket; the messages once there are `count` of them. */
async function listen(name: string, count: number): Promise<{ messages: Promise<string[]> }> {
  const child = spawn('python3', ['-c', program, name, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  const ready = Promise.withResolvers<void>();
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
    if (printed.startsWith('ready\n')) ready.resolve();
  });
  const messages = new Promise<string[]>((resolve) => child.once('close', () => resolve(printed.trimEnd().split('\n').slice(1).map((line) => String(JSON.parse(line))))));
  await ready.promise;
  return { messages };
}

describe('the service manager is told', () => {
  test.each([join(folder, 'notify'), `@sallyport-${process.pid}`])('at %s', async (name) => {
    const { messages } = await listen(name, 2);
    const manager = serviceManager({ NOTIFY_SOCKET: name });
    expect(manager.tell('READY=1', 'STATUS=2 workers')).toBe(true);
    expect(manager.tell('STOPPING=1')).toBe(true);
    expect(await messages).toEqual(['READY=1\nSTATUS=2 workers', 'STOPPING=1']);
  });

  test('twice in each period of its watchdog, and no longer than wanted', async () => {
    const name = join(folder, 'watchdog');
    const { messages } = await listen(name, 3);
    const manager = serviceManager({ NOTIFY_SOCKET: name, WATCHDOG_USEC: '100000', WATCHDOG_PID: String(process.pid) });
    const startedAt = performance.now();
    manager.startWatchdog();
    manager.startWatchdog();
    expect(await messages).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    expect(performance.now() - startedAt).toBeGreaterThan(120);
    manager.stopWatchdog();
  });

  test.each([
    ['nothing', {}], ['a name that is no address', { NOTIFY_SOCKET: 'notify' }], ['a path too long', { NOTIFY_SOCKET: `/${'x'.repeat(200)}` }],
    ['a socket that is not there', { NOTIFY_SOCKET: join(folder, 'absent') }],
  ])('not, and without harm, where the environment says %s', (_what, environment) => {
    const manager = serviceManager(environment);
    expect(manager.tell('READY=1')).toBe(false);
    manager.startWatchdog();
    manager.stopWatchdog();
  });

  test('another process\'s watchdog is not ours', async () => {
    const name = join(folder, 'other');
    const { messages } = await listen(name, 1);
    const manager = serviceManager({ NOTIFY_SOCKET: name, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' });
    manager.startWatchdog();
    await new Promise((resolve) => setTimeout(resolve, 100));
    manager.tell('READY=1');
    expect(await messages).toEqual(['READY=1']);
    manager.stopWatchdog();
  });
});
