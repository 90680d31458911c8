// The http stage of policy for one request head: gathers the facts and asks. Pure; it never sees a body.

import type { Deps } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import type { HttpFacts, RequestVerdict } from '../core/verdicts.ts';

/** What a request of either HTTP version says of itself. */
export interface RequestWords {
  readonly method: string;
  /** Host or :authority as sent, port included. */
  readonly host: string | null;
  /** Path and query, or an absolute target. */
  readonly target: string;
  /** Field names in lower case, or how to find them: few policies ask. */
  readonly headers: ReadonlySet<string> | (() => ReadonlySet<string>);
  readonly upgrade: string | null;
}

/** The verdict of the http stage, counted. */
export function judgeRequest(session: Session, deps: Deps, words: RequestWords): RequestVerdict {
  const verdict = deps.policy.http(session, httpFacts(words));
  deps.meter.add('policy_decisions_total', verdict.action === 'allow' ? allowed : denied);
  return verdict;
}

const allowed = ['http', 'allow'] as const;
const denied = ['http', 'deny'] as const;

/** Facts as rules compare them: host without port and in lower case, path without query and in normal form. Each is made when a rule asks for it. */
export function httpFacts(words: RequestWords): HttpFacts {
  return new RequestFacts(words);
}

class RequestFacts implements HttpFacts {
  readonly #words: RequestWords;
  #host: string | null | undefined = undefined;
  #path: string | null = null;
  #headers: ReadonlySet<string> | null = null;

  constructor(words: RequestWords) {
    this.#words = words;
  }

  get method(): string {
    return this.#words.method;
  }

  get upgrade(): string | null {
    return this.#words.upgrade;
  }

  get host(): string | null {
    if (this.#host === undefined) this.#host = this.#words.host === null ? null : hostName(this.#words.host);
    return this.#host;
  }

  get path(): string {
    this.#path ??= normalPath(this.#words.target);
    return this.#path;
  }

  get headers(): ReadonlySet<string> {
    const { headers } = this.#words;
    this.#headers ??= typeof headers === 'function' ? headers() : headers;
    return this.#headers;
  }
}

/** An authority's host in lower case, without port, brackets and a final dot. */
export function hostName(authority: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(authority);
  const host = bracketed?.[1] ?? authority.replace(/:[0-9]*$/, '');
  return host.toLowerCase().replace(/\.$/, '');
}

/**
 * The path of a target with unreserved characters decoded and dot segments and repeated slashes resolved (RFC 3986 section
 * 6.2.2), so that `/%61dmin` and `/x/../admin` match the rule for `/admin`.
 */
export function normalPath(target: string): string {
  const path = target.replace(/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*/, '').replace(/[?#].*$/, '');
  if (!path.startsWith('/')) return path === '' ? '/' : path;
  if (!/%|\/\/|\/\./.test(path)) return path;
  const decoded = path.replace(/%([0-9a-fA-F]{2})/g, (escape: string, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[\w.~/-]/.test(character) ? character : escape.toUpperCase();
  });
  const segments: string[] = [];
  for (const segment of decoded.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  const isFolder = /(?:\/|\/\.{1,2})$/.test(decoded) && segments.length > 0;
  return `/${segments.join('/')}${isFolder ? '/' : ''}`;
}
