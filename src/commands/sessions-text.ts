// The sessions table as text for terminals. What came from the wire is shown without control characters, so that no
// name can move the cursor.

import type { Session } from '../core/session.ts';

interface Column {
  readonly title: string;
  /** Widest it grows; the last column takes what is left. */
  readonly widthMax: number;
  readonly right?: true;
  text(session: Session): string;
}

const columns: readonly Column[] = [
  { title: 'STARTED', widthMax: 8, text: ({ startedAt }) => new Date(startedAt).toTimeString().slice(0, 8) },
  { title: 'ID', widthMax: 16, text: ({ id }) => id },
  { title: 'CLIENT', widthMax: 24, text: ({ client }) => address(client.ip, client.port) },
  { title: 'DESTINATION', widthMax: 36, text: destinationText },
  { title: 'PROTOCOL', widthMax: 10, text: ({ protocol }) => protocol },
  { title: 'ACTION', widthMax: 9, text: ({ action }) => action ?? '-' },
  { title: 'TO SERVER', widthMax: 9, right: true, text: ({ bytes }) => bytesText(bytes.fromClient) },
  { title: 'TO CLIENT', widthMax: 9, right: true, text: ({ bytes }) => bytesText(bytes.toClient) },
  { title: 'LASTED', widthMax: 8, right: true, text: (session) => (session.endedAt === null ? 'active' : spanText(session.endedAt - session.startedAt)) },
  { title: 'RULE / ERROR', widthMax: 60, text: outcomeText },
];

/** Lines of the table, heading first, each at most `width` characters (null: as wide as needed). */
export function tableLines(sessions: readonly Session[], width: number | null): string[] {
  const rows = sessions.map((session) => columns.map((column) => clean(column.text(session))));
  const widths = columns.map((column, index) => Math.min(column.widthMax, Math.max(column.title.length, ...rows.map((row) => row[index]?.length ?? 0))));
  const line = (cells: readonly string[]): string => {
    const text = columns.map((column, index) => fitted(cells[index] ?? '', widths[index] ?? 0, column.right === true)).join('  ').trimEnd();
    return width === null || text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
  };
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}

/** One session as one line, for logs of changes. */
export function sessionLine(session: Session): string {
  return columns.map((column) => clean(column.text(session))).join('  ');
}

/** 0 to 1023 as bytes, then with one decimal: 1.5k, 12M. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = '';
  for (const next of ['k', 'M', 'G', 'T']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === '' || value >= 100 ? `${Math.round(value)}${unit}` : `${value.toFixed(1)}${unit}`;
}

/** A span as its two largest units: 120ms, 3.5s, 4m10s, 2h05m. */
export function spanText(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${two(Math.floor(seconds % 60))}s`;
  return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
}

/** Control and formatting characters become question marks. */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function address(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function destinationText({ sni, destination }: Session): string {
  return address(sni ?? destination.host ?? destination.ip ?? '?', destination.port);
}

function outcomeText({ rule, error, tunnelledOnError, errorDetail }: Session): string {
  const fault = error ?? (tunnelledOnError === null ? null : `after ${tunnelledOnError}`);
  const detail = error !== null && errorDetail !== null ? ` (${errorDetail})` : '';
  return fault === null ? (rule ?? '-') : `${rule ?? '-'}  ${fault}${detail}`;
}

function fitted(text: string, width: number, right: boolean): string {
  if (text.length > width) return `${text.slice(0, width - 1)}…`;
  return right ? text.padStart(width) : text.padEnd(width);
}
