// The primary's side of worker processes: forks them, gives them the config, joins their views and figures, grants sessions of busy
// clients, replaces a worker that ended unasked. It carries no traffic itself.

import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { ReadyConfig } from './commands/policy.ts';
import { noMeter } from './core/meters.ts';
import type { SessionsView } from './core/sessions-view.ts';
import type { GatewayOptions, Traffic } from './traffic.ts';
import { batched, readPlace } from './learned.ts';
import type { LearnedService } from './learned.ts';
import { GrantPool } from './listener/admission.ts';
import { askOver, channelTo, serveCalls } from './sessions/channel.ts';
import type { Ask } from './sessions/channel.ts';
import { readCaptureFigures } from './sessions/capture.ts';
import type { CaptureFigures, CaptureOrder } from './sessions/capture.ts';
import type { SessionHistory } from './sessions/history.ts';
import type { MetricData } from './sessions/metrics-text.ts';
import { remoteMetrics } from './sessions/metrics-text.ts';
import { remoteView } from './sessions/remote-view.ts';
import { SessionTable } from './sessions/table.ts';
import { localView, mergedView } from './sessions/view.ts';

/** Topic on which a worker asks for grants and the primary gives orders. */
export const workerTopic = 'worker';

/** What a worker is told at its start. */
export interface WorkerOrder {
  readonly text: string;
  readonly fileName: string;
  readonly extraCa: readonly string[];
  readonly name: string;
  readonly workers: number;
  /** Listening sockets of the service manager: service name, and the descriptor as the worker has it. */
  readonly activated: readonly (readonly [string, number])[];
}

/** Descriptors that a worker has before those handed over: its three streams, and the channel. */
const workerStreams = ['inherit', 'inherit', 'inherit', 'ipc'] as const;

/** What the crew is started with. */
export interface CrewOptions extends GatewayOptions {
  readonly workers: number;
  readonly learned: LearnedService;
  readonly history: SessionHistory;
}

interface Running {
  readonly name: string;
  readonly worker: Worker;
  readonly view: SessionsView;
  readonly metrics: () => Promise<MetricData[]>;
  readonly ask: Ask;
  ready: boolean;
}

/** Starts the workers; resolves when all listen, rejects when the first of them cannot. */
export async function startWorkers(options: CrewOptions): Promise<Traffic> {
  const crew = new Crew(options);
  const ports = await crew.start();
  const { limits } = options.ready.config;
  return {
    view: mergedView(() => crew.views(), limits),
    readMetrics: () => crew.metrics(),
    fault: () => crew.fault(),
    ports: () => ports,
    reload: (ready, text) => crew.reload(ready, text),
    capture: { start: (order) => crew.startCapture(order), stop: () => crew.stopCapture(), figures: () => crew.captureFigures() },
    reopenLogs: () => crew.tellAll('reopen-logs'),
    drain: () => crew.drain(),
  };
}

class Crew {
  #options: CrewOptions;
  readonly #pool: GrantPool;
  readonly #running = new Map<number, Running>();
  #stopping = false;
  /** What every worker records, and how long. */
  #capture: { readonly order: CaptureOrder; readonly untilMs: number } | null = null;
  /** Closed sessions of earlier runs and of workers that are gone. */
  readonly #earlier: SessionTable;
  /** Counts every start, so that names (and so session ids) are never used twice. */
  #started = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
    const { limits } = options.ready.config;
    this.#pool = new GrantPool(limits, options.workers);
    this.#earlier = new SessionTable({ worker: 'primary', limits, meter: noMeter });
    this.#earlier.restore(options.history.read());
    cluster.setupPrimary({ exec: fileURLToPath(new URL('./worker.ts', import.meta.url)), args: [], stdio: [...workerStreams, ...options.activated.values()] });
  }

  async start(): Promise<Readonly<Record<string, number>>> {
    const all = await Promise.all(Array.from({ length: this.#options.workers }, async (_unused, place) => await this.#fork(place)));
    return all[0] ?? {};
  }

  views(): SessionsView[] {
    return [localView(this.#earlier), ...this.#up()];
  }

  #up(): SessionsView[] {
    return [...this.#running.values()].filter(({ ready }) => ready).map(({ view }) => view);
  }

  async metrics(): Promise<MetricData[][]> {
    const answers = await Promise.allSettled([...this.#running.values()].filter(({ ready }) => ready).map(({ metrics }) => metrics()));
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  fault(): string | null {
    const ready = this.#up().length;
    return ready === this.#options.workers ? null : `${String(ready)} of ${String(this.#options.workers)} workers are up`;
  }

  async tellAll(order: string): Promise<void> {
    await Promise.allSettled([...this.#running.values()].map(({ ask }) => ask(order)));
  }

  /** Every worker takes the new config; rejects with what the first of them could not do. */
  async reload(ready: ReadyConfig, text: string): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ask }) => ask('reload', text)));
    this.#options = { ...this.#options, ready, source: { ...this.#options.source, text } };
  }

  /** Every worker begins to record; one that starts later does too. Rejects with what the first of them could not do. */
  async startCapture(order: CaptureOrder): Promise<void> {
    await Promise.all(this.#asks().map((ask) => ask('capture-start', order)));
    this.#capture = { order, untilMs: Date.now() + order.durationMs };
  }

  async stopCapture(): Promise<void> {
    this.#capture = null;
    await this.tellAll('capture-stop');
  }

  async captureFigures(): Promise<CaptureFigures[]> {
    const answers = await Promise.allSettled(this.#asks().map((ask) => ask('capture-figures')));
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? readCaptureFigures(answer.value) : []));
  }

  #asks(): Ask[] {
    return [...this.#running.values()].filter(({ ready }) => ready).map(({ ask }) => ask);
  }

  async drain(): Promise<void> {
    this.#stopping = true;
    const ended = [...this.#running.values()].map(({ worker }) => new Promise<void>((resolve) => {
      if (worker.isDead()) resolve();
      else worker.once('exit', () => resolve());
    }));
    for (const { worker } of this.#running.values()) worker.send({ sallyport: 'drain' });
    const { shutdownGraceMs, lingerMs, workerAnswerMs } = this.#options.ready.config.limits;
    const late = setTimeout(() => {
      for (const { worker } of this.#running.values()) worker.process.kill('SIGKILL');
    }, shutdownGraceMs + lingerMs + workerAnswerMs);
    await Promise.all(ended);
    clearTimeout(late);
  }

  async #fork(place: number): Promise<Readonly<Record<string, number>>> {
    const { source, extraCa, workers, log, ready, activated } = this.#options;
    const worker = cluster.fork();
    const channel = channelTo(worker);
    this.#started += 1;
    const name = `w${String(this.#started)}`;
    const running: Running = {
      name, worker, ready: false,
      view: remoteView(channel, ready.config.limits),
      metrics: remoteMetrics(channel, ready.config.limits),
      ask: askOver(channel, workerTopic, ready.config.limits),
    };
    this.#running.set(place, running);
    serveCalls(channel, workerTopic, {
      take: async (client) => typeof client === 'string' && this.#pool.take(worker.id, client),
      give: async (client) => { if (typeof client === 'string') this.#pool.give(worker.id, client); },
      learned: async (what, place) => this.#learn(what, place),
    });
    const handedOver = [...activated.keys()].map((service, index): [string, number] => [service, workerStreams.length + index]);
    const order: WorkerOrder = { ...source, extraCa, workers, name, activated: handedOver };
    const up = new Promise<Readonly<Record<string, number>>>((resolve, reject) => {
      worker.on('message', (message: unknown) => {
        const answer = startAnswer(message);
        if (answer === null) return;
        if ('fault' in answer) reject(new Error(answer.fault));
        else resolve(answer.ports);
      });
      worker.once('exit', (code, signal) => reject(new Error(`a worker ended at its start (${signal || String(code)})`)));
    });
    worker.once('exit', (code, signal) => this.#ended(place, worker, signal || String(code)));
    worker.once('online', () => worker.send({ sallyport: 'start', order }));
    const ports = await up;
    running.ready = true;
    if (this.#capture !== null && this.#capture.untilMs > Date.now()) {
      const { order: captured, untilMs } = this.#capture;
      await running.ask('capture-start', { ...captured, durationMs: untilMs - Date.now() }).catch((error: unknown) => log.error({ err: error }, 'a new worker does not record'));
    }
    const told = batched((changes) => running.ask('learned', changes), ready.config.limits.workerAnswerMs, () => !worker.isDead());
    this.#options.learned.listen(told);
    worker.once('exit', () => this.#options.learned.unlisten(told));
    log.debug({ worker: order.name, pid: worker.process.pid }, 'worker is up');
    return ports;
  }

  #learn(what: unknown, place: unknown): void {
    const read = readPlace(place);
    if (read !== null && (what === 'refused' || what === 'accepted')) this.#options.learned.tell(what, read);
  }

  #ended(place: number, worker: Worker, how: string): void {
    this.#pool.workerGone(worker.id);
    const was = this.#running.get(place);
    if (was?.worker !== worker) return;
    this.#running.delete(place);
    if (this.#stopping || !was.ready) return;
    // What it had saved of its closed sessions is shown on.
    this.#earlier.restore(this.#options.history.read(was.name));
    const { log, ready } = this.#options;
    log.error({ pid: worker.process.pid, how }, 'a worker ended; its sessions are lost, another takes its place');
    setTimeout(() => {
      if (!this.#stopping) this.#fork(place).catch((error: unknown) => log.error({ err: error }, 'the new worker did not start'));
    }, ready.config.limits.workerRestartMs);
  }
}

function startAnswer(message: unknown): { ports: Readonly<Record<string, number>> } | { fault: string } | null {
  if (typeof message !== 'object' || message === null || !('sallyport' in message)) return null;
  if (message.sallyport === 'failed' && 'fault' in message) return { fault: String(message.fault) };
  if (message.sallyport !== 'listening' || !('ports' in message) || typeof message.ports !== 'object' || message.ports === null) return null;
  return { ports: Object.fromEntries(Object.entries(message.ports).map(([name, port]) => [name, Number(port)])) };
}
