// Routes of the admin listener as data: method, path, what they need, and the function that answers. Matching only.

import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Need } from './access.ts';

/** A request whose right to be here has been checked. */
export interface AdminRequest {
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** The last part of the path for routes that end in `/:id`, decoded; else empty. */
  readonly id: string;
  /** The parsed JSON body of a POST; undefined when there was none. */
  readonly body: unknown;
  /** The asker may change things. */
  readonly writes: boolean;
}

/** A whole answer, or a function that takes the response over (live streams). */
export type Reply = WholeReply | ((response: ServerResponse) => Promise<void>);

export interface WholeReply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** A path, or a path that ends in `/:id`. */
  readonly path: string;
  readonly need: Need;
  answer(request: AdminRequest): Promise<Reply> | Reply;
}

/** A JSON answer. */
export function json(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): WholeReply {
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(value), headers };
}

/** The route of a request, or the methods that its path does know (none: no such path). HEAD asks GET's route. */
export function findRoute(routes: readonly Route[], method: string, path: string): { route: Route; id: string } | readonly string[] {
  const asked = method === 'HEAD' ? 'GET' : method;
  const methods: string[] = [];
  for (const route of routes) {
    const id = matchPath(route.path, path);
    if (id === null) continue;
    if (route.method === asked) return { route, id };
    methods.push(route.method);
  }
  return methods;
}

/** The id in the path ('' for routes without), or null when the path is another. */
function matchPath(pattern: string, path: string): string | null {
  if (!pattern.endsWith('/:id')) return pattern === path ? '' : null;
  const base = pattern.slice(0, -3);
  if (!path.startsWith(base) || path.length === base.length || path.includes('/', base.length)) return null;
  try {
    return decodeURIComponent(path.slice(base.length));
  } catch {
    return null;
  }
}
