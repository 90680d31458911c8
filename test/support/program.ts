// Starts real programs for tests with a clean environment and ends every one of them, whatever happens to the test.
// It never ends a program that it did not start itself.

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
  /** True when the time limit ended it. */
  readonly timedOut: boolean;
}

export interface RunOptions {
  /** Longest run; 20 000 by default. */
  readonly timeoutMs?: number;
  readonly input?: string | Buffer;
  /** Added to the clean environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Keep standard input open after `input`, until the program ends: for clients that leave when it closes. */
  readonly holdInput?: boolean;
}

const outputBytesMax = 4 * 1024 * 1024;
const pollMs = 40;

/**
 * The environment that lab programs get: a plain path with this Node first, and nothing inherited. Variables such as
 * SSL_CERT_FILE, CURL_CA_BUNDLE, NODE_EXTRA_CA_CERTS and http_proxy would decide trust and routes behind a test's back.
 */
export function cleanEnvironment(home: string): Record<string, string> {
  const path = [dirname(process.execPath), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return { PATH: path.join(':'), HOME: home, LANG: 'C.UTF-8', TERM: 'dumb' };
}

/** Runs a program to its end and keeps what it printed, up to 4 MiB of each stream. Rejects only when it cannot start. */
export function runProgram(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = startChild(command, options, ['pipe', 'pipe', 'pipe']);
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      endGroup(child, 'SIGKILL');
    }, options.timeoutMs ?? 20_000);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ code, signal, stdout: stdout(), stderr: stderr(), timedOut });
    });
    child.stdin?.on('error', () => { /* The program left before it read all: its exit tells. */ });
    if (options.input !== undefined) child.stdin?.write(options.input);
    if (options.holdInput !== true) child.stdin?.end();
  });
}

/** Runs a program that must end with code 0 and returns what it printed; throws with its whole output otherwise. */
export async function mustRun(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await runProgram(command, options);
  if (result.code !== 0) throw new Error(`${command.join(' ')}\n${describeResult(result)}`);
  return result.stdout;
}

/** A run in words, for failing tests. */
export function describeResult(result: RunResult): string {
  const end = result.timedOut ? 'ran out of time' : `exit ${result.code ?? result.signal ?? 'unknown'}`;
  return `${end}\n--- stdout\n${result.stdout}\n--- stderr\n${result.stderr}`;
}

/** A program in the background; its output goes to a file. */
export class Program {
  readonly label: string;
  readonly logFile: string;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #exit: Exit | null = null;

  constructor(label: string, child: ChildProcess, logFile: string) {
    this.label = label;
    this.logFile = logFile;
    this.#child = child;
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        running.delete(child);
        this.#exit = exit;
        resolve(exit);
      };
      child.once('error', () => end({ code: null, signal: null }));
      child.once('exit', (code, signal) => end({ code, signal }));
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.label} did not start`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#exit === null;
  }

  output(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Waits until the output matches; throws with the output when the program ends or the time is over. */
  async waitForOutput(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpMatchArray> {
    let match: RegExpMatchArray | null = null;
    await this.waitUntil(() => {
      match = this.output().match(pattern);
      return match !== null;
    }, `print ${pattern.source}`, timeoutMs);
    if (match === null) throw new Error('unreachable');
    return match;
  }

  /** Waits until `ready` answers true; throws with the output when the program ends or the time is over. */
  async waitUntil(ready: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!await ready()) {
      const state = this.#exit === null ? null : `ended with ${this.#exit.code ?? this.#exit.signal ?? 'a failure to start'}`;
      if (state !== null || Date.now() > end) throw new Error(`${this.label} did not ${what}: ${state ?? 'time is over'}\n${this.output()}`);
      await sleep(pollMs);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Writes to its standard input (programs started with `input: true` only). */
  write(input: string | Buffer): void {
    this.#child.stdin?.write(input);
  }

  /** SIGTERM to the program, SIGKILL to its group when it outlives the grace or leaves children. */
  async stop(graceMs = 5_000): Promise<Exit> {
    this.#child.kill('SIGTERM');
    const exit = await Promise.race([this.exited, sleep(graceMs, null, { ref: false })]);
    endGroup(this.#child, 'SIGKILL');
    return exit ?? this.exited;
  }
}

export interface BackgroundOptions extends Omit<RunOptions, 'input' | 'timeoutMs' | 'holdInput'> {
  readonly logFile: string;
  /** Give it an open standard input (see Program.write). */
  readonly input?: boolean;
}

/** Starts a program in the background, in a process group of its own. */
export function startProgram(label: string, command: readonly string[], options: BackgroundOptions): Program {
  const log = openSync(options.logFile, 'a');
  const child = startChild(command, options, [options.input === true ? 'pipe' : 'ignore', log, log]);
  closeSync(log);
  child.stdin?.on('error', () => { /* It ended: `exited` tells. */ });
  return new Program(label, child, options.logFile);
}

const running = new Set<ChildProcess>();

// A test process that is told to end, or throws, takes its programs with it.
process.on('exit', () => {
  for (const child of running) endGroup(child, 'SIGKILL');
});

function startChild(command: readonly string[], options: Pick<RunOptions, 'env' | 'cwd'>, stdio: ('pipe' | 'ignore' | number)[]): ChildProcess {
  const [file, ...args] = command;
  if (file === undefined) throw new Error('empty command');
  const env = { ...cleanEnvironment('/nonexistent'), ...options.env };
  const child = spawn(file, args, { detached: true, env, stdio, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) });
  if (child.pid !== undefined) running.add(child);
  return child;
}

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone.
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (bytes < outputBytesMax) chunks.push(chunk);
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
