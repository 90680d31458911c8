// A worker process: carries traffic for a primary that gives it the config, asks it for its sessions and figures, and ends it.

import { readyConfig } from './commands/policy.ts';
import { loadConfig } from './config/load.ts';
import { openCertificates } from './certs/open.ts';
import type { Certificates } from './certs/open.ts';
import { createLogger } from './core/log.ts';
import { certificateOptions } from './certificate-options.ts';
import { meterFor, startDataPlane } from './data-plane.ts';
import type { DataPlane } from './data-plane.ts';
import type { SharedPool } from './listener/admission.ts';
import { readBatch } from './learned.ts';
import { LearnedView } from './policy/learned.ts';
import { askOver, channelTo, serveCalls } from './sessions/channel.ts';
import type { Ask } from './sessions/channel.ts';
import { readCaptureOrder } from './sessions/capture.ts';
import { SessionHistory } from './sessions/history.ts';
import { serveMetrics } from './sessions/metrics-text.ts';
import { serveView } from './sessions/remote-view.ts';
import { installTrust, readTrust } from './trust.ts';
import { workerTopic } from './workers.ts';
import type { WorkerOrder } from './workers.ts';

const channel = channelTo(process);
let running: { readonly plane: DataPlane; readonly history: SessionHistory; readonly certificates: Certificates } | null = null;

process.on('message', (message: unknown) => {
  if (isOrder(message)) void start(message.order).catch((error: unknown) => fail(error));
  if (isDrain(message)) void end();
});
// Ctrl-C reaches the whole group; the primary decides when a worker ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});
process.on('disconnect', () => process.exit(1));

async function start(order: WorkerOrder): Promise<void> {
  const ready = readyConfig(loadConfig(order.text, order.fileName), order.fileName);
  if (!ready.ok) throw new Error('the config changed while the worker started');
  const { config, policy } = ready;
  const log = createLogger(config.logging.level).child({ worker: order.name });
  const registry = meterFor(config, order.name);
  const certificates = await openCertificates(certificateOptions(config, registry, log, false));
  const trust = installTrust(config.upstream, order.extraCa, certificates.issuerPems(), config.limits);
  const ask = askOver(channel, workerTopic, config.limits);
  // What does not reach the primary is a refusal less, or a proof of trust that the next session brings again.
  const learned = new LearnedView(Date.now, (what, place) => void ask('learned', what, place).catch(() => {}));
  const history = new SessionHistory({ folder: config.state, worker: order.name, limits: config.limits, log });
  const started = await startDataPlane({
    config, policy, certificates, trust, registry, log, worker: order.name, workers: order.workers, pool: poolOf(ask), learned, history, earlier: [], activated: new Map(order.activated),
  });
  running = { plane: started, history, certificates };
  serveView(started.view, channel);
  serveMetrics(() => registry.read(), channel);
  serveCalls(channel, workerTopic, {
    'reopen-logs': () => started.reopenLogs(),
    reload: async (text) => { await reload(started, String(text), order, certificates); },
    learned: async (changes) => { for (const [key, until] of readBatch(changes)) learned.changed(key, until); },
    'capture-start': async (captureOrder) => {
      const read = readCaptureOrder(captureOrder);
      if (read !== null) await started.capture.start(read);
    },
    'capture-stop': () => started.capture.stop(),
    'capture-figures': () => started.capture.figures(),
    'reload-revocations': async () => { await certificates.reload(); },
  });
  channel.send({ sallyport: 'listening', ports: started.ports() });
}

async function reload(started: DataPlane, text: string, order: WorkerOrder, certificates: Certificates): Promise<void> {
  const ready = readyConfig(loadConfig(text, order.fileName), order.fileName);
  if (!ready.ok) throw new Error('the config changed while it was reloaded');
  await started.reload(ready.config, ready.policy, readTrust(ready.config.upstream, order.extraCa, certificates.issuerPems(), ready.config.limits));
}

function poolOf(ask: Ask): SharedPool {
  return {
    // Without an answer the client's session is refused: the limit holds, and the primary is restarting anyway.
    take: (client) => ask('take', client).then((granted) => granted === true, () => false),
    give: (client) => void ask('give', client).catch(() => {}),
  };
}

async function end(): Promise<void> {
  await running?.plane.drain();
  running?.history.close();
  await running?.certificates.close();
  process.exit(0);
}

function fail(error: unknown): void {
  channel.send({ sallyport: 'failed', fault: error instanceof Error ? error.message : String(error) });
  setTimeout(() => process.exit(1), 100);
}

function isOrder(message: unknown): message is { order: WorkerOrder } {
  return typeof message === 'object' && message !== null && 'sallyport' in message && message.sallyport === 'start' && 'order' in message;
}

function isDrain(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'sallyport' in message && message.sallyport === 'drain';
}
