// Open files for thousands of connections. Says nothing when the system does not let it have more.

const filesMax = 65_536;

/** The command with as many open files as the system allows, up to 65,536: two for each held connection of a proxy. */
export function withManyFiles(command: readonly string[]): string[] {
  return ['sh', '-c', `ulimit -n ${String(filesMax)} 2>/dev/null; exec "$@"`, 'sh', ...command];
}
