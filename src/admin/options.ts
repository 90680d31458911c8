// What the admin server is given. A route exists only where its callback does: what is not there is 404, never half there.

import type { SessionsView } from '../core/sessions-view.ts';
import type { Limits } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Meter } from '../core/meters.ts';
import type { ProtocolName } from '../core/protocols.ts';

export interface AdminOptions {
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string;
  /** Needed for anything but loopback; allows everything. */
  readonly token: string | null;
  /** Allows reading only, for dashboards. */
  readonly readToken?: string | null;
  /** Names besides loopback's under which readers without token may reach a loopback listener. */
  readonly hosts?: readonly string[];
  readonly limits: Limits;
  readonly log: Logger;
  readonly meter?: Meter;
  readonly view: SessionsView;
  /** The text of /metrics for a scraper's Accept header; `protocols` keeps only their series. */
  metrics(accept: string | undefined, protocols: readonly ProtocolName[] | null): Promise<{ readonly contentType: string; readonly body: string }>;
  /** Whether new flows are welcome, and what is in the way. */
  health(): { readonly ready: boolean; readonly reasons: readonly string[] };
  // Bodies are JSON as received: callbacks check them, and throw AdminFault when they are wrong.
  explain?(question: unknown): Promise<unknown>;
  config?(): unknown;
  reload?(): Promise<unknown>;
  issuer?(): Promise<unknown>;
  revoke?(order: unknown): Promise<unknown>;
  readonly learned?: LearnedControl;
  readonly capture?: CaptureControl;
  /** The issuer's certificate for clients. */
  ca?(): { readonly pem: string; readonly der: Buffer };
  /** The same as Apple's configuration profile. */
  mobileConfig?(): string | Buffer;
  /** Port of the explicit proxy for /proxy.pac, which names the host by which it was fetched. */
  readonly proxyPort?: number;
}

export interface LearnedControl {
  list(): Promise<unknown>;
  /** Forgets one bypass, or all when the key is null; answers how many. */
  forget(key: string | null): Promise<number>;
}

export interface CaptureControl {
  state(): Promise<unknown>;
  start(order: unknown): Promise<unknown>;
  stop(): Promise<unknown>;
}
