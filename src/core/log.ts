// Logging: one pino logger for the process; a line about a flow carries the session's id and names. Never payload.

import pino from 'pino';
import type { Session } from './session.ts';

export type Logger = pino.Logger;

/** The process's logger, JSON lines on standard error. */
export function createLogger(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: false }));
}

/** A logger that keeps silent, for tools. */
export const silentLogger: Logger = pino({ level: 'silent' });

/** What a log line says of its session. */
export function sessionFields(session: Session): Record<string, unknown> {
  return { session: session.id, service: session.service, client: session.client.ip, sni: session.sni, protocol: session.protocol };
}
