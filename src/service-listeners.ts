// The listeners of a process's services, and which service a new connection belongs to now. A reload swaps services under listeners
// that stay, opens new ones first, and closes what is no longer wanted; accepted connections live on.

import type { ServiceConfig } from './config/schema.ts';
import { serve } from './handoff/serve.ts';
import type { Service } from './handoff/serve.ts';
import { listen } from './listener/listener.ts';
import type { Listening } from './listener/listener.ts';

interface Place {
  readonly listening: Listening;
  /** What new connections are served by; replaced on reload. */
  service: Service;
}

export class ServiceListeners {
  readonly #reusePort: boolean;
  /** Sockets of the service manager by service name. */
  readonly #activated: ReadonlyMap<string, number>;
  /** By name, address and way of acquiring: a service that keeps these keeps its listener. */
  #places = new Map<string, Place>();

  constructor(reusePort: boolean, activated: ReadonlyMap<string, number>) {
    this.#reusePort = reusePort;
    this.#activated = activated;
  }

  /** Serves exactly these services from now on. Rejects with the system's error, the service named, and nothing changed. */
  async serve(configs: readonly ServiceConfig[], serviceOf: (config: ServiceConfig) => Service): Promise<void> {
    const next = new Map<string, Place>();
    const opened: Listening[] = [];
    const changes: [Place, Service][] = [];
    try {
      for (const config of configs) {
        const service = serviceOf(config);
        const key = `${config.name} ${config.listen.host} ${String(config.listen.port)} ${config.acquire ?? ''}`;
        const kept = this.#places.get(key);
        if (kept !== undefined) changes.push([kept, service]);
        const place = kept ?? await this.#open(config, service);
        if (kept === undefined) opened.push(place.listening);
        next.set(key, place);
      }
    } catch (caught) {
      await Promise.all(opened.map((listening) => listening.close()));
      throw caught;
    }
    for (const [place, service] of changes) place.service = service;
    const gone = [...this.#places].filter(([key]) => !next.has(key)).map(([, place]) => place.listening);
    this.#places = next;
    // A server closes only after its last connection has; nobody waits for that here.
    void Promise.all(gone.map((listening) => listening.close()));
  }

  /** Ports by service name, as bound. */
  ports(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#places.values()].map(({ service, listening }) => [service.name, listening.port]));
  }

  /** Stops accepting; resolves when the last accepted connection is closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#places.values()].map(({ listening }) => listening.close()));
  }

  async #open(config: ServiceConfig, service: Service): Promise<Place> {
    let place: Place | null = null;
    try {
      const listening = await listen(
        {
          host: config.listen.host, port: config.listen.port, backlog: service.deps.limits.listenBacklog,
          reusePort: this.#reusePort, transparent: config.acquire === 'tproxy',
          descriptor: this.#activated.get(config.name) ?? null,
        },
        (socket) => void serve(socket, place?.service ?? service),
      );
      place = { listening, service };
      return place;
    } catch (caught) {
      throw new Error(`service ${config.name}: ${caught instanceof Error ? caught.message : String(caught)}`, { cause: caught });
    }
  }
}
