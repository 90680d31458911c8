// The command line: finds the command, hands it its arguments, turns what goes wrong into one line and an exit code
// (0 ok, 1 failed at run time, 2 bad usage or config). Commands are loaded only when asked for.

const commands: Readonly<Record<string, { readonly about: string; run(args: string[]): Promise<number> }>> = {
  demo: { about: 'a working gateway with real traffic in one command (--once: end when the traffic has)', run: async (args) => (await import('./commands/demo.ts')).run(args) },
  run: { about: 'start the gateway: run [-c FILE] [--extra-ca FILE]; without FILE a safe built-in config', run: async (args) => (await import('./commands/run.ts')).run(args) },
  check: { about: 'validate config and policy: check -c FILE', run: async (args) => (await import('./commands/check.ts')).run(args, process.stdout) },
  explain: { about: 'the verdict at every stage and why: explain -c FILE --dst IP:PORT [--sni NAME ...] | --replay LOG', run: async (args) => (await import('./commands/explain.ts')).run(args, process.stdout) },
  sessions: { about: 'list or end sessions: sessions [FILTER] [--json] [--watch] | sessions kill ID', run: async (args) => (await import('./commands/with-config.ts')).runSessions(args) },
  learned: { about: 'learned bypasses: learned [--json] | learned clear (CLIENT | NAME | KEY | --all)', run: async (args) => (await import('./commands/with-config.ts')).runLearned(args) },
  ca: { about: 'the issuer: ca show|export [--der]|import --cert F --key F|new|revoke SERIAL|HOST', run: async (args) => (await import('./commands/with-config.ts')).runCa(args) },
  net: { about: 'nftables rules: net show|apply|remove -c FILE', run: async (args) => (await import('./commands/with-config.ts')).runNet(args) },
  doctor: { about: 'check everything the gateway needs: doctor -c FILE', run: async (args) => (await import('./commands/with-config.ts')).runDoctor(args) },
  test: { about: 'everything CI runs, or parts of it: test [setup|static|unit|conformance|fuzz|bench|lab|soak ...] [--only TEXT]', run: async (args) => (await import('./commands/test.ts')).run(args) },
  bench: { about: 'benchmarks side by side with installed peers: bench [NAME]', run: async (args) => (await import('../bench/main.ts')).run(args) },
};

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`);
  return ['Sallyport: a transparent TLS intercepting gateway.', '', 'Usage: ./sallyport COMMAND [--help]', '', ...lines].join('\n');
}

async function main(): Promise<number> {
  const [name, ...args] = process.argv.slice(2);
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    print(usage());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`sallyport: there is no command '${name}'. Commands: ${Object.keys(commands).join(', ')}\n`);
    return 2;
  }
  try {
    return await command.run(args);
  } catch (caught) {
    process.stderr.write(`sallyport: ${caught instanceof Error ? caught.message : String(caught)}\n`);
    return caught instanceof TypeError && 'code' in caught && String(caught.code).startsWith('ERR_PARSE_ARGS') ? 2 : 1;
  }
}

// `sallyport ... | head` closes the pipe when it has seen enough; that is no fault, and what is under way still cleans up after itself.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exit(1);
});
process.exitCode = await main();
