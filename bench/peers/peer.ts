// What the benchmark knows of a proxy: how to start it as an interceptor of port 443, and what clients must trust then.

import type { Program } from '../../test/support/program.ts';
import type { Site } from '../site.ts';

/** A running proxy. */
export interface Instance {
  /** The root of its processes: all CPU and memory below it counts. */
  readonly program: Program;
  /** Where the redirect is to point. */
  readonly port: number;
  /** PEM of the issuer that its clients trust. */
  readonly caFile: string;
}

export interface StartOptions {
  /** Folder for V8 CPU profiles, for the peers that run on Node and are ours. */
  readonly profile: string | null;
}

export interface Peer {
  readonly name: string;
  /** Its Debian package, or null for what lies in this repository. */
  readonly packageName: string | null;
  /** How it is set up here, in a sentence for the report. */
  readonly about: string;
  /** Resolves once it listens; rejects with its output when it does not. */
  start(site: Site, options: StartOptions): Promise<Instance>;
}
