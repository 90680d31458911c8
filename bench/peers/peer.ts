// What the benchmark knows of a proxy: how to start it as an interceptor of port 443, and what clients must trust then.

import type { Program } from '../../test/support/program.ts';
import type { Site } from '../site.ts';

/** A running proxy. */
export interface Instance {
  /** The root of its processes: all CPU and memory below it counts. */
  readonly program: Program;
  /** Where the redirect is to point. */
  readonly port: number;
  /** PEM of the issuer that its clients trust; null for a proxy that opens nothing, whose clients see the origin's own certificate. */
  readonly caFile: string | null;
  /** Programs that end with it, such as clients that hold connections to it. */
  readonly beside: Program[];
}

export interface StartOptions {
  /** Folder for V8 CPU profiles, for the peers that run on Node and are ours. */
  readonly profile: string | null;
}

/** Which of a peer's set-ups a bench wants; what is absent is the plain interceptor of HTTP/1.1. */
export interface Setup {
  /** Takes sessions up again on both sides where it can; `haproxy` alone must be told not to. */
  readonly resumes?: boolean;
  /** HTTP/2 on both sides. */
  readonly http2?: boolean;
  /** Passes TLS on unopened. */
  readonly tunnels?: boolean;
}

export interface Peer {
  /** As tables show it; different within a bench. */
  readonly name: string;
  /** What `--peer` calls it, whatever its set-up. */
  readonly slug: string;
  /** Its Debian package, or null. */
  readonly packageName: string | null;
  /** How it is set up here, in a sentence for the report. */
  readonly about: string;
  /** Its version where no Debian package tells it. */
  version?(): string;
  /** False while something it needs is not there; absent: the package is all it needs. */
  ready?(): boolean;
  /** Fetches what `ready` misses. */
  install?(say: (line: string) => void): Promise<void>;
  /** Resolves once it listens; rejects with its output when it does not. */
  start(site: Site, options: StartOptions): Promise<Instance>;
}
