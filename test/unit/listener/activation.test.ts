import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect } from 'node:net';
import koffi from 'koffi';
import { describe, expect, it } from 'vitest';
import { activatedSockets } from '../../../src/listener/activation.ts';
import { listen } from '../../../src/listener/listener.ts';
import { readAll } from '../../support/pair.ts';

describe('what a service manager hands over', () => {
  it('is known by name, for the process it is meant for alone', () => {
    expect(activatedSockets({ LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'https:sip' }, 7)).toEqual(new Map([['https', 3], ['sip', 4]]));
    for (const environment of [{}, { LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'https' }, { LISTEN_PID: '7' }, { LISTEN_PID: '7', LISTEN_FDS: 'many', LISTEN_FDNAMES: 'https' }]) {
      expect(activatedSockets(environment, 7)).toEqual(new Map());
    }
    expect(activatedSockets({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)).toEqual(new Map([['', 3]]));
  });

  it('two of one name are refused, with the mend', () => {
    expect(() => activatedSockets({ LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'https:https' }, 7)).toThrow(/"https".*one ListenStream/);
  });
});

describe('a socket that is listening already', () => {
  /** A listening socket that nobody accepts from, as a manager holds it. */
  const manager = (): number => {
    const libc = koffi.load(null);
    const fd = Number(libc.func('int socket(int family, int type, int protocol)')(2, 1, 0));
    const address = Buffer.alloc(16);
    address.writeUInt16LE(2);
    address.set([127, 0, 0, 1], 4);
    expect(libc.func('int bind(int fd, const void *address, uint32_t length)')(fd, address, 16)).toBe(0);
    expect(libc.func('int listen(int fd, int backlog)')(fd, 16)).toBe(0);
    return fd;
  };
  const options = { host: '127.0.0.1', backlog: 16, reusePort: false, transparent: false };

  it('is accepted from as from one of our own, and outlives the listener for the next', async () => {
    const descriptor = manager();
    let port = 0;
    for (const word of ['one', 'two']) {
      const listening = await listen({ ...options, port, descriptor }, (socket) => socket.end(word));
      expect(listening.port).toBe(port === 0 ? listening.port : port);
      ({ port } = listening);
      expect((await readAll(connect(port, '127.0.0.1'))).toString()).toBe(word);
      await listening.close();
    }
    // Nobody accepts now, but the socket is there: a client gets its connection and waits.
    const waiting = connect(port, '127.0.0.1');
    await once(waiting, 'connect');
    waiting.destroy();
    closeSync(descriptor);
  });

  it('must be on the port that the config says, and be open', async () => {
    const descriptor = manager();
    await expect(listen({ ...options, port: 1, descriptor }, () => undefined)).rejects.toThrow(/hands over port \d+, but the config says 1:/);
    closeSync(descriptor);
    await expect(listen({ ...options, port: 1, descriptor: 9_999 }, () => undefined)).rejects.toThrow(/descriptor 9999 is not open/);
  });
});
