// Listening sockets that the service manager opened and hands over (sd_listen_fds(3)), each named after its service. They stay open in the
// manager while the gateway restarts: clients wait instead of being refused. It binds nothing and accepts nothing.

import { Socket } from 'node:net';
import koffi from 'koffi';

/** The first descriptor that is handed over. */
const firstDescriptor = 3;
/** More than any gateway has services. */
const descriptorsMax = 1_024;

/**
 * Descriptors by the name that FileDescriptorName= gave them; empty when there are none for this process. Throws when a name is there
 * twice: a service has one listener.
 */
export function activatedSockets(environment: Readonly<Record<string, string | undefined>>, pid: number): ReadonlyMap<string, number> {
  const { LISTEN_PID: wanted, LISTEN_FDS: count, LISTEN_FDNAMES: names } = environment;
  const sockets = new Map<string, number>();
  if (wanted === undefined || count === undefined || Number(wanted) !== pid || !/^\d{1,4}$/.test(count)) return sockets;
  const list = (names ?? '').split(':');
  for (let index = 0; index < Math.min(Number(count), descriptorsMax); index += 1) {
    const name = list[index] ?? '';
    if (sockets.has(name)) throw new Error(`the service manager hands over several sockets named ${JSON.stringify(name)}: give each service one socket unit, with one ListenStream= ([::]:PORT is dual stack) and FileDescriptorName=SERVICE`);
    sockets.set(name, firstDescriptor + index);
  }
  return sockets;
}

const libc = koffi.load(null);
const duplicate = libc.func('int fcntl(int fd, int command, int argument)');
/** F_DUPFD_CLOEXEC of <linux/fcntl.h>: programs that are started must not inherit the copy. */
const duplicateClosing = 1030;

/**
 * A carrier for `server.listen()` of a copy of a listening socket: closing the server leaves the original open. Node 24: in a process of
 * node:cluster `listen({ fd })` means a descriptor of the primary; a handle is listened on right here.
 */
export function listeningCarrier(descriptor: number): Socket {
  const fd: unknown = duplicate(descriptor, duplicateClosing, firstDescriptor);
  if (typeof fd !== 'number' || fd < 0) throw new Error(`descriptor ${descriptor} is not open (errno ${koffi.errno()})`);
  // Neither readable nor writable: Node touches nothing but takes the descriptor into a handle.
  return new Socket({ fd, readable: false, writable: false });
}
