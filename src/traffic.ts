// What the control side and the traffic side of a gateway know of each other: one shape, whether traffic runs in this process or in workers.

import type { ReadyConfig } from './commands/policy.ts';
import type { Logger } from './core/log.ts';
import type { SessionsView } from './core/sessions-view.ts';
import type { CaptureControls } from './data-plane.ts';
import type { MeterRegistry } from './sessions/metrics.ts';

export interface GatewayOptions {
  readonly ready: ReadyConfig;
  /** The config as text and its file's name: workers read it themselves. */
  readonly source: ConfigSource;
  /** Further root files for upstream, over the config's. */
  readonly extraCa: readonly string[];
  /** Listening sockets of the service manager, by service name. */
  readonly activated: ReadonlyMap<string, number>;
  readonly log: Logger;
}

export interface ConfigSource {
  readonly text: string;
  readonly fileName: string;
}

/** The traffic side as the control side sees it, in this process or in workers. */
export interface Traffic {
  readonly view: SessionsView;
  /** Figures of every process that carries traffic besides this one. */
  readMetrics(): Promise<readonly Awaited<ReturnType<MeterRegistry['read']>>[]>;
  /** Null when all is well, else why not. */
  fault(): string | null;
  ports(): Readonly<Record<string, number>>;
  /** Takes another config for new flows. `text` is what workers read. Rejects, with nothing changed, when that cannot be. */
  reload(ready: ReadyConfig, text: string): Promise<void>;
  reopenLogs(): Promise<void>;
  readonly capture: CaptureControls;
  drain(): Promise<void>;
}
