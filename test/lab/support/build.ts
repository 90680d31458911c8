// Builds the lab's C clients (test/lab/peers/*.c) once for each version of their source, into test/lab/.build.

import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../support/program.ts';

const sources = join(import.meta.dirname, '../peers');
const builds = join(import.meta.dirname, '../.build');

/** What this process builds or has built: clients that start at once share one run of the compiler. */
const built = new Map<string, Promise<string>>();

/** Path of the program of `name.c`, built with the flags of these pkg-config packages; rejects with the compiler's words. */
export function compile(name: string, packages: readonly string[]): Promise<string> {
  const program = built.get(name) ?? build(name, packages);
  built.set(name, program);
  return program;
}

async function build(name: string, packages: readonly string[]): Promise<string> {
  const source = join(sources, `${name}.c`);
  const program = join(builds, name);
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(builds, { recursive: true });
  const flags = (await mustRun(['pkg-config', '--cflags', '--libs', ...packages])).split(/\s+/).filter((flag) => flag !== '');
  // A half-written program must never be found by another run.
  const fresh = `${program}.${process.pid}`;
  await mustRun(['cc', '-O1', '-Wall', '-rdynamic', '-o', fresh, source, ...flags], { timeoutMs: 60_000 });
  renameSync(fresh, program);
  return program;
}
