// A real admin server on loopback over real tables, and requests to it with every header under the test's control.

import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { limitsWith } from '../../../src/core/limits.ts';
import type { LimitName } from '../../../src/core/limits.ts';
import { silentLogger } from '../../../src/core/log.ts';
import { startAdmin } from '../../../src/admin/server.ts';
import type { Admin } from '../../../src/admin/server.ts';
import type { AdminOptions } from '../../../src/admin/options.ts';
import { createMeter } from '../../../src/sessions/metrics.ts';
import { renderMetrics } from '../../../src/sessions/metrics-text.ts';
import { SessionTable } from '../../../src/sessions/table.ts';
import { localView, mergedView } from '../../../src/sessions/view.ts';

export interface TestAdmin extends Admin {
  /** One table for each worker. */
  readonly tables: readonly SessionTable[];
  readonly base: string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly token?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export const token = 'correct-horse-battery-staple';

export interface TestAdminOptions extends Partial<Omit<AdminOptions, 'limits'>> {
  readonly limits?: Partial<Record<LimitName, number>>;
  readonly workers?: number;
}

export async function startTestAdmin(overrides: TestAdminOptions = {}): Promise<TestAdmin> {
  const { workers = 1, limits: limitOverrides = {}, ...rest } = overrides;
  const limits = limitsWith({ streamPollMs: 50, ...limitOverrides });
  const parts = Array.from({ length: workers }, (_, index) => {
    const meters = createMeter({ worker: String(index + 1), limits, services: ['https', 'sip'], processMetrics: false });
    return { meters, table: new SessionTable({ worker: String(index + 1), limits, meter: meters.meter }) };
  });
  const views = parts.map(({ table }) => localView(table));
  const server = await startAdmin({
    listen: '127.0.0.1:0',
    token,
    limits,
    log: silentLogger,
    view: mergedView(() => views, limits),
    metrics: async (accept, protocols) => renderMetrics(await Promise.all(parts.map(({ meters }) => meters.read())), accept, protocols),
    health: () => ({ ready: true, reasons: [] }),
    ...rest,
  });
  return {
    ...server,
    tables: parts.map(({ table }) => table),
    base: `http://127.0.0.1:${server.port}`,
    ask: (path, options = {}) => ask(server.port, path, options),
  };
}

/** node:http and not fetch: fetch does not let a test set Host and Origin. */
function ask(port: number, path: string, { method = 'GET', headers = {}, body, token: bearer }: AskOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: '127.0.0.1', port, path, method, agent: false,
      headers: { ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}
