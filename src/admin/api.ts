// The JSON routes of CONTRACT "Admin API". Each is a few lines: what to ask of whom, and in what form to answer. They
// reach sessions only through SessionsView.

import { errorTable } from '../core/errors.ts';
import { actions, sessionStates } from '../core/session.ts';
import { protocolNames, protocolRows, protocolStates, protocolWords } from '../core/protocols.ts';
import type { ProtocolName } from '../core/protocols.ts';
import { filterKeys, FilterError, parseFilter } from '../sessions/filter.ts';
import { AdminFault } from './fault.ts';
import type { AdminOptions } from './options.ts';
import { json } from './routes.ts';
import type { AdminRequest, Route } from './routes.ts';

/** The routes for which the options hold what is needed. */
export function apiRoutes(options: AdminOptions): Route[] {
  const { view, limits } = options;
  const routes: Route[] = [
    {
      method: 'GET', path: '/api/sessions', need: 'read',
      answer: async ({ url }) => {
        const { filter, limit, cursor } = listQuery(url, limits.apiPageMax);
        return json(await view.list(filter, limit, cursor));
      },
    },
    {
      method: 'GET', path: '/api/sessions/:id', need: 'read',
      answer: async ({ id }) => {
        const session = await view.one(id);
        if (session === null) throw noSession(id);
        return json(session);
      },
    },
    {
      method: 'DELETE', path: '/api/sessions/:id', need: 'write',
      answer: async ({ id }) => {
        if (!await view.kill(id)) throw noSession(id);
        options.log.info({ session: id }, 'session killed by an operator');
        return json({ killed: id });
      },
    },
    { method: 'GET', path: '/api/summary', need: 'read', answer: async () => json(await view.summary()) },
    { method: 'GET', path: '/api/protocols', need: 'read', answer: () => json(protocolsAnswer) },
    { method: 'GET', path: '/api/errors', need: 'read', answer: () => json(errorsAnswer) },
    {
      method: 'GET', path: '/metrics', need: 'read',
      answer: async ({ url, headers }) => {
        const { contentType, body } = await options.metrics(headers.accept, protocolsQuery(url));
        return { status: 200, type: contentType, body };
      },
    },
    { method: 'GET', path: '/healthz', need: 'none', answer: () => json({ status: 'ok' }) },
    {
      method: 'GET', path: '/readyz', need: 'none',
      answer: () => {
        const { ready, reasons } = options.health();
        return json({ ready, reasons }, ready ? 200 : 503);
      },
    },
  ];
  return [...routes, ...controlRoutes(options)];
}

/** Routes that exist only with their callback. */
function controlRoutes({ explain, config, reload, issuer, revoke, learned, capture }: AdminOptions): Route[] {
  const routes: Route[] = [];
  const add = (method: Route['method'], path: string, need: Route['need'], ask: (request: AdminRequest) => unknown): void => {
    routes.push({ method, path, need, answer: async (request) => json(await ask(request) ?? null) });
  };
  // Asking for an explanation changes nothing, though it has a body.
  if (explain !== undefined) add('POST', '/api/explain', 'read', ({ body }) => explain(body));
  if (config !== undefined) add('GET', '/api/config', 'read', () => config());
  if (reload !== undefined) add('POST', '/api/reload', 'write', () => reload());
  if (issuer !== undefined) add('GET', '/api/issuer', 'read', () => issuer());
  if (revoke !== undefined) add('POST', '/api/issuer/revoke', 'write', ({ body }) => revoke(body));
  if (learned !== undefined) {
    add('GET', '/api/learned', 'read', () => learned.list());
    add('DELETE', '/api/learned', 'write', async ({ url }) => ({ forgotten: await learned.forget(url.searchParams.get('key')) }));
  }
  if (capture !== undefined) {
    // Captures hold what users said: even their state is for those who may change things.
    add('GET', '/api/capture', 'write', () => capture.state());
    add('POST', '/api/capture', 'write', ({ body }) => capture.start(body));
    add('DELETE', '/api/capture', 'write', () => capture.stop());
  }
  return routes;
}

/** Sessions of a page when `limit` does not say. */
const pageDefault = 200;

/** The filter, limit and cursor of a URL. Throws AdminFault. */
export function listQuery(url: URL, limitMax: number): { filter: string; limit: number; cursor: string | null } {
  const query = new URLSearchParams(url.search);
  const cursor = query.get('cursor');
  const limitText = query.get('limit');
  query.delete('cursor');
  query.delete('limit');
  const limit = limitText === null ? Math.min(pageDefault, limitMax) : Number(limitText);
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax) {
    throw new AdminFault(400, 'BAD_LIMIT', `limit is a whole number from 1 to ${limitMax}.`);
  }
  return { filter: filterQuery(query), limit, cursor: cursor === '' ? null : cursor };
}

/** The filter of a query as text. Throws AdminFault. */
export function filterQuery(query: URLSearchParams): string {
  const filter = parseFilter(query);
  if (filter instanceof FilterError) throw filterFault(filter);
  return filter.text;
}

/** A wrong filter or cursor as an answer. */
export function filterFault(error: FilterError): AdminFault {
  return new AdminFault(400, error.key === 'cursor' ? 'BAD_CURSOR' : 'BAD_FILTER', error.message, error.allowed);
}

function protocolsQuery(url: URL): readonly ProtocolName[] | null {
  const words = url.searchParams.getAll('protocol').flatMap((value) => value.split(',')).map((word) => word.trim());
  if (words.length === 0) return null;
  return words.flatMap((word) => {
    const names = protocolWords.get(word);
    if (names === undefined) throw new AdminFault(400, 'BAD_FILTER', `There is no such protocol; protocols are ${[...protocolWords.keys()].join(', ')}.`, [...protocolWords.keys()]);
    return names;
  });
}

function noSession(id: string): AdminFault {
  const known = id.length > 40 ? '' : ` ${id.replaceAll(/[^0-9a-z-]/g, '?')}`;
  return new AdminFault(404, 'NO_SESSION', `There is no session${known}; it may have ended long ago.`);
}

const protocolsAnswer = {
  protocols: protocolNames.map((name) => ({ name, about: aboutProtocol(name), words: [...protocolWords].filter(([, names]) => names.includes(name)).map(([word]) => word) })),
  words: Object.fromEntries(protocolWords),
  actions,
  states: sessionStates,
  filters: filterKeys,
};

function aboutProtocol(name: ProtocolName): string {
  if (name === 'unknown' || name === 'undetected' || name === 'pending') return protocolStates[name];
  const row = Object.values(protocolRows).find(({ plain, overTls }) => plain === name || overTls === name);
  return row?.about ?? '';
}

const errorsAnswer = { errors: Object.entries(errorTable).map(([code, row]) => ({ code, ...row })) };
