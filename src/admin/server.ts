// The admin listener: console, JSON API, metrics, health and CA files over HTTP. It checks who asks before anything else,
// bounds bodies, connections and times, and answers every fault as JSON. It never touches a flow's sockets.

import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { noMeter } from '../core/meters.ts';
import { FilterError } from '../sessions/filter.ts';
import { createAccess } from './access.ts';
import type { Access } from './access.ts';
import { apiRoutes, filterFault } from './api.ts';
import { caRoutes } from './ca-files.ts';
import { consoleRoutes } from './console.ts';
import { AdminFault } from './fault.ts';
import { isLoopback, parseListen } from './listen.ts';
import type { AdminOptions } from './options.ts';
import { findRoute, json } from './routes.ts';
import type { AdminRequest, Reply, Route, WholeReply } from './routes.ts';
import { streamRoute } from './stream.ts';

export interface Admin {
  readonly port: number;
  /** Ends streams and connections. */
  close(): Promise<void>;
}

/** Starts the listener. Rejects when the address is wrong or taken, or when it is not loopback and there is no token. */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const address = parseListen(options.listen);
  if (address === null) throw new Error(`admin.listen is not an address with a port: ${options.listen}`);
  const loopback = isLoopback(address.host);
  if (options.token === '') throw new Error('the admin token is empty');
  if (options.readToken === '') throw new Error('the token that may only read is empty: remove its file (admin.readTokenFile), and a new one is made');
  if (!loopback && options.token === null) throw new Error(`admin.listen ${options.listen} can be reached by others: it needs admin.tokenFile`);
  const access = createAccess({ token: options.token, readToken: options.readToken ?? null, loopback, hosts: options.hosts ?? [] });
  const stream = streamRoute(options);
  const routes: readonly Route[] = withIndex([stream.route, ...apiRoutes(options), ...caRoutes(options), ...await consoleRoutes()]);
  const server = createServer({
    requestTimeout: options.limits.adminRequestMs,
    headersTimeout: options.limits.adminRequestMs,
    connectionsCheckingInterval: Math.min(5_000, options.limits.adminRequestMs),
  }, (request, response) => void serve(request, response, { options, access, routes }));
  server.maxConnections = options.limits.adminConnectionsMax;
  server.on('drop', () => options.meter?.add('limits_hit_total', ['adminConnectionsMax']));
  await listening(server, address.host, address.port);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    close: () => {
      stream.closeAll();
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

/** Adds GET /api: what there is here, and whether the asker may change things. Files of the console are left out. */
function withIndex(routes: readonly Route[]): readonly Route[] {
  const names = routes.filter(({ path }) => !path.startsWith('/console/')).map(({ method, path }) => `${method} ${path}`);
  const index: Route = { method: 'GET', path: '/api', need: 'read', answer: ({ writes }) => json({ routes: [...names, 'GET /api'], writes }) };
  return [index, ...routes];
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

interface Serving {
  readonly options: AdminOptions;
  readonly access: Access;
  readonly routes: readonly Route[];
}

/** Answers one request; never rejects. */
async function serve(request: IncomingMessage, response: ServerResponse, serving: Serving): Promise<void> {
  try {
    const reply = await replyTo(request, serving);
    for (const [name, value] of Object.entries(commonHeaders)) response.setHeader(name, value);
    if (typeof reply !== 'function') send(request, response, reply);
    else if (request.method === 'HEAD') response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).end();
    else await reply(response);
  } catch (caught) {
    const fault = faultOf(caught, serving.options);
    if (response.headersSent) response.destroy();
    else send(request, response, faultReply(fault));
  }
}

async function replyTo(request: IncomingMessage, { options, access, routes }: Serving): Promise<Reply> {
  // Put behind a host of our own making: `//x/y` is a path here, never another host.
  const url = request.url?.startsWith('/') === true ? URL.parse(`http://admin.invalid${request.url}`) : null;
  if (url === null) throw new AdminFault(400, 'BAD_URL', 'The request target is not a path.');
  const found = findRoute(routes, request.method ?? '', url.pathname);
  if (!('route' in found)) {
    // An unknown path tells a stranger nothing about who may ask.
    if (found.length === 0) throw new AdminFault(404, 'NOT_FOUND', 'There is nothing at this path.');
    throw new MethodFault(found);
  }
  const fault = access(request.headers, found.route.need);
  if (fault !== null) throw fault;
  const body = found.route.method === 'POST' ? await readJson(request, options.limits.apiBodyBytesMax) : undefined;
  const writes = access(request.headers, 'write') === null;
  const asked: AdminRequest = { url, headers: request.headers, id: found.id, body, writes };
  return found.route.answer(asked);
}

class MethodFault extends AdminFault {
  constructor(methods: readonly string[]) {
    super(405, 'METHOD_NOT_ALLOWED', `This path takes ${methods.join(', ')}.`, methods);
  }
}

/** The JSON body, or undefined when it is empty. Throws AdminFault. */
async function readJson(request: IncomingMessage, bytesMax: number): Promise<unknown> {
  const tooLarge = (): AdminFault => new AdminFault(413, 'BODY_TOO_LARGE', `A body has at most ${bytesMax} bytes (limits.apiBodyBytesMax).`);
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > bytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  // A form of another site can send text, but not this type without asking first (CORS).
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) throw new AdminFault(415, 'NOT_JSON', 'The body must be application/json.');
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return value;
  } catch {
    throw new AdminFault(400, 'BAD_JSON', 'The body is not JSON.');
  }
}

const commonHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

function send(request: IncomingMessage, response: ServerResponse, reply: WholeReply): void {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  const unread = !request.complete && (coding !== undefined || Number(length ?? 0) > 0);
  response.writeHead(reply.status, {
    ...commonHeaders, 'content-type': reply.type, 'content-length': body.length, ...reply.headers,
    // What is left of a body that was refused must not be taken for the next request.
    ...(unread ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function faultReply(fault: AdminFault): WholeReply {
  const { status, code, message, allowed } = fault;
  const headers: Record<string, string> = {};
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="sallyport"';
  if (fault instanceof MethodFault) headers['allow'] = allowed.join(', ');
  return json({ error: code, message, ...(allowed.length > 0 ? { allowed } : {}) }, status, headers);
}

function faultOf(caught: unknown, options: AdminOptions): AdminFault {
  if (caught instanceof AdminFault) return caught;
  if (caught instanceof FilterError) return filterFault(caught);
  const aborted = caught instanceof Error && 'code' in caught && caught.code === 'ECONNRESET';
  if (aborted) return new AdminFault(400, 'ABORTED', 'The request ended before its body did.');
  options.log.error({ err: caught }, 'the admin API failed');
  (options.meter ?? noMeter).add('internal_errors_total');
  return new AdminFault(500, 'INTERNAL', 'A defect of the gateway; its log says more.');
}
