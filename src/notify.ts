// Tells the service manager that the gateway is up, reloading or ending, and keeps its watchdog content: sd_notify(3) by one datagram each.
// Without NOTIFY_SOCKET it does nothing; it never waits for the manager and never fails the gateway.

import koffi from 'koffi';

/** Words of sd_notify(3) that the gateway uses. */
export type NotifyWord = 'READY=1' | 'RELOADING=1' | 'STOPPING=1' | 'WATCHDOG=1' | `STATUS=${string}` | `MONOTONIC_USEC=${string}`;

export interface ServiceManager {
  /** Sends words in one datagram; answers whether the manager took it. */
  tell(...words: readonly NotifyWord[]): boolean;
  /** Sends WATCHDOG=1 twice in each period that the manager set, as long as this process's event loop turns. */
  startWatchdog(): void;
  stopWatchdog(): void;
}

// <sys/socket.h>, <sys/un.h> on Linux
const familyUnix = 1;
const typeDatagram = 2;
const closeOnExec = 0o2000000;
const doNotWait = 0x40;
const noSignal = 0x4000;
const pathAt = 2;
const pathBytesMax = 108;

/** The manager that an environment names; one that takes nothing where it names none. */
export function serviceManager(environment: Readonly<Record<string, string | undefined>>): ServiceManager {
  const address = addressOf(environment['NOTIFY_SOCKET'] ?? '');
  const periodMs = watchdogMs(environment);
  let timer: NodeJS.Timeout | null = null;
  const tell = (...words: readonly NotifyWord[]): boolean => address !== null && send(address, Buffer.from(words.join('\n')));
  return {
    tell,
    startWatchdog() {
      if (address === null || periodMs === null || timer !== null) return;
      timer = setInterval(() => tell('WATCHDOG=1'), periodMs / 2);
      timer.unref();
    },
    stopWatchdog() {
      if (timer !== null) clearInterval(timer);
      timer = null;
    },
  };
}

/** sockaddr_un of a path, or of a name in the abstract namespace (`@name`); null when it is neither, or too long. */
function addressOf(name: string): Buffer | null {
  if (!(name.startsWith('/') || name.startsWith('@')) || name.length < 2) return null;
  const path = Buffer.from(name);
  if (path.length >= pathBytesMax) return null;
  if (name.startsWith('@')) path[0] = 0;
  const address = Buffer.alloc(pathAt + path.length + (name.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(familyUnix);
  path.copy(address, pathAt);
  return address;
}

/** The period the manager set for this process (WATCHDOG_PID), in milliseconds. */
function watchdogMs(environment: Readonly<Record<string, string | undefined>>): number | null {
  const { WATCHDOG_USEC: period, WATCHDOG_PID: pid } = environment;
  if (pid !== undefined && pid !== '' && Number(pid) !== process.pid) return null;
  const ms = Number(period ?? 0) / 1000;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

/** Node 24 has no datagram sockets of the local kind, so libc sends it. */
function send(address: Buffer, message: Buffer): boolean {
  const libc = koffi.load(null);
  const open = libc.func('int socket(int family, int type, int protocol)');
  const sendTo = libc.func('int64_t sendto(int fd, const void *bytes, uint64_t length, int flags, const void *address, uint32_t addressLength)');
  const close = libc.func('int close(int fd)');
  const fd: unknown = open(familyUnix, typeDatagram | closeOnExec, 0);
  if (typeof fd !== 'number' || fd < 0) return false;
  try {
    return Number(sendTo(fd, message, message.length, doNotWait | noSignal, address, address.length)) === message.length;
  } finally {
    close(fd);
  }
}
