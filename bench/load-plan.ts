// What the benchmark tells its client program, and what that says at its end; checked on both sides of the command line.

export interface Load {
  /** One page and close, or one page and hold until standard input ends. */
  readonly kind: 'handshakes' | 'hold';
  /** Address to connect to, and the name to ask for (SNI and Host). */
  readonly host: string;
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly pageBytes: number;
  /** Connections in all, and at a time. */
  readonly count: number;
  readonly atOnce: number;
  /** No new connection begins after this. */
  readonly timeMs: number;
}

export interface LoadReport {
  readonly done: number;
  readonly failed: number;
  /** The first different reasons of failures. */
  readonly reasons: readonly string[];
  readonly elapsedMs: number;
  readonly latenciesMs: { readonly p50: number | null; readonly p99: number | null };
}

const loadNumbers = ['port', 'pageBytes', 'count', 'atOnce', 'timeMs'] as const;
const loadTexts = ['host', 'name', 'path'] as const;

export function isLoad(value: unknown): value is Load {
  if (!isRecord(value) || (value['kind'] !== 'handshakes' && value['kind'] !== 'hold')) return false;
  return loadNumbers.every((key) => typeof value[key] === 'number' && value[key] >= 0) && loadTexts.every((key) => typeof value[key] === 'string');
}

/** The report in the client's output, or null when there is none. */
export function parseReport(output: string): LoadReport | null {
  for (const line of output.split('\n')) {
    if (!line.startsWith('{')) continue;
    const value: unknown = JSON.parse(line);
    if (isReport(value)) return value;
  }
  return null;
}

function isReport(value: unknown): value is LoadReport {
  if (!isRecord(value) || !Array.isArray(value['reasons']) || !isRecord(value['latenciesMs'])) return false;
  return ['done', 'failed', 'elapsedMs'].every((key) => typeof value[key] === 'number');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
