// One host of the lab: a network namespace and the programs that run in it. It knows nothing of what they do.

import { join } from 'node:path';
import { mustRun, runProgram, startProgram, type Program, type RunOptions, type RunResult } from '../../support/program.ts';

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Ready when all these listen: `ADDRESS:PORT` as ss prints them, IPv6 in brackets; `*:PORT` for dual stack. */
  readonly listens?: readonly string[];
  /** Ready when the output matches. */
  readonly says?: RegExp;
  readonly readyMs?: number;
  readonly input?: boolean;
}

export class Host {
  readonly namespace: string;
  /** Homes, logs and configuration of the programs of this host. */
  readonly folder: string;
  readonly #programs: Program[] = [];

  constructor(namespace: string, folder: string) {
    this.namespace = namespace;
    this.folder = folder;
  }

  /** Runs a program to its end in this host. */
  run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runProgram(this.#inside(command), this.#withHome(options));
  }

  /** As `run`; throws with the whole output when the program does not end with code 0. */
  mustRun(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return mustRun(this.#inside(command), this.#withHome(options));
  }

  /** Starts a program in the background and waits until it is ready. */
  async spawn(label: string, command: readonly string[], options: SpawnOptions = {}): Promise<Program> {
    const logFile = join(this.folder, `${label}-${this.#programs.length}.log`);
    const { cwd, input } = options;
    const program = startProgram(label, this.#inside(command), {
      logFile,
      env: { HOME: this.folder, ...options.env },
      ...(cwd === undefined ? {} : { cwd }),
      ...(input === undefined ? {} : { input }),
    });
    this.#programs.push(program);
    const { listens, says, readyMs } = options;
    if (says !== undefined) await program.waitForOutput(says, readyMs);
    if (listens !== undefined) await program.waitUntil(() => this.#allListen(listens), `listen on ${listens.join(', ')}`, readyMs);
    return program;
  }

  /** Ends every background program, newest first. */
  async stopAll(): Promise<void> {
    for (const program of this.#programs.toReversed()) await program.stop();
  }

  /** The last lines of every program's output, for a failing test. */
  outputs(linesMax = 40): string {
    return this.#programs.map((program) => {
      const lines = program.output().trimEnd().split('\n').slice(-linesMax);
      return `=== ${program.label}\n${lines.join('\n')}`;
    }).join('\n');
  }

  async #allListen(sockets: readonly string[]): Promise<boolean> {
    const listing = await this.mustRun(['ss', '-Hltn']);
    const listening = new Set(listing.split('\n').map((line) => line.trim().split(/\s+/)[3]));
    return sockets.every((socket) => listening.has(socket));
  }

  #inside(command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...command];
  }

  #withHome(options: RunOptions): RunOptions {
    return { ...options, env: { HOME: this.folder, ...options.env } };
  }
}
