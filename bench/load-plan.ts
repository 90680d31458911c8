// What the benchmark tells its client programs, and what those say at their end; checked on both sides of the command line.

interface Target {
  /** Address to connect to, and the name to ask for (SNI and Host); `#` in it becomes a number that grows with each connection. */
  readonly host: string;
  readonly name: string;
  readonly port: number;
  readonly path: string;
  /** Addresses of this host to connect from, in turns. */
  readonly from: readonly string[];
}

/** Connections that fetch a page. */
export interface PageLoad extends Target {
  /** One page and close; the same with the last session taken up again; one page and hold until standard input ends. */
  readonly kind: 'handshakes' | 'resumed' | 'hold';
  readonly firstNumber: number;
  readonly pageBytes: number;
  /** Connections in all, and at a time. */
  readonly count: number;
  readonly atOnce: number;
  /** No new connection begins after this. */
  readonly timeMs: number;
}

/** Connections that send a WebSocket message and wait for its echo, over and over. */
export interface EchoLoad extends Target {
  readonly kind: 'echo';
  readonly messageBytes: number;
  readonly atOnce: number;
  readonly timeMs: number;
}

export type Load = PageLoad | EchoLoad;

export interface LoadReport {
  /** Connections or messages. */
  readonly done: number;
  readonly failed: number;
  /** The first different reasons of failures. */
  readonly reasons: readonly string[];
  readonly elapsedMs: number;
  readonly latenciesMs: { readonly p50: number | null; readonly p99: number | null };
  /** Connections that offered a session to take up again; how many of them did, and of how many the proxy's upstream did, as the origin tells. */
  readonly resumed: { readonly offered: number; readonly client: number; readonly upstream: number };
}

const pageNumbers = ['port', 'pageBytes', 'count', 'atOnce', 'timeMs', 'firstNumber'] as const;
const echoNumbers = ['port', 'messageBytes', 'atOnce', 'timeMs'] as const;
const texts = ['host', 'name', 'path'] as const;
const pageKinds: readonly unknown[] = ['handshakes', 'resumed', 'hold'] satisfies PageLoad['kind'][];

export function isPageLoad(value: unknown): value is PageLoad {
  return isRecord(value) && pageKinds.includes(value['kind']) && isTarget(value, pageNumbers);
}

export function isEchoLoad(value: unknown): value is EchoLoad {
  return isRecord(value) && value['kind'] === 'echo' && isTarget(value, echoNumbers);
}

function isTarget(value: Record<string, unknown>, numbers: readonly string[]): boolean {
  const isNumber = (key: string): boolean => typeof value[key] === 'number' && value[key] >= 0;
  const from = value['from'];
  return numbers.every(isNumber) && texts.every((key) => typeof value[key] === 'string') && Array.isArray(from) && from.length > 0 && from.every((one) => typeof one === 'string');
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
  if (!isRecord(value) || !Array.isArray(value['reasons']) || !isRecord(value['latenciesMs']) || !isRecord(value['resumed'])) return false;
  return ['done', 'failed', 'elapsedMs'].every((key) => typeof value[key] === 'number');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
