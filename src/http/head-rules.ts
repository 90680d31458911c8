// What a whole head must keep to be framed without doubt: Host, the form of the target, lengths against codings (RFC 9112
// sections 3.2, 3.3 and 6). It judges; it never reads bytes.

import { ambiguous, malformed } from './grammar.ts';
import type { Fault } from './grammar.ts';
import type { Head } from './head.ts';

/** How a message's body ends (RFC 9112 section 6.3). */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

/** Null when a request's head is good. */
export function checkRequest(head: Head): Fault | null {
  if (head.minor === 1 && head.host === null) return malformed('HTTP/1.1 without Host');
  return lengthFault(head) ?? targetFault(head);
}

/** Null when a response's head is good, as far as can be told without its request. */
export function checkResponse(head: Head): Fault | null {
  const fault = lengthFault(head);
  if (fault !== null) return fault;
  const bodiless = head.status < 200 || head.status === 204;
  // RFC 9112 section 6.1 and RFC 9110 section 8.6 forbid both; who believes them waits for a body that does not come.
  if (bodiless && head.status !== 101 && (head.transferEncoding || head.contentLength > 0)) return ambiguous('a body announced where none may be');
  return null;
}

/** How the body of a request ends. */
export function requestFraming(head: Head): Framing {
  if (head.chunked) return 'chunked';
  return head.contentLength > 0 ? 'length' : 'none';
}

/** How the body of a final response ends; `toHead` says that the request was HEAD. */
export function responseFraming(head: Head, toHead: boolean): Framing {
  if (toHead || head.status === 204 || head.status === 304 || head.status < 200) return 'none';
  if (head.chunked) return 'chunked';
  if (head.contentLength >= 0) return head.contentLength === 0 ? 'none' : 'length';
  return 'close';
}

/** Whether the sender of this head will keep the connection (RFC 9112 section 9.3). */
export function persists(head: Head): boolean {
  return head.minor === 1 ? !head.close : head.keepAlive && !head.close;
}

/** The host a request is for, in the form of Host: that of an absolute target, else the Host field. */
export function requestHost(head: Head): string | null {
  return absoluteAuthority(head.target) ?? head.host;
}

function lengthFault(head: Head): Fault | null {
  if (!head.transferEncoding) return null;
  if (head.contentLength >= 0) return ambiguous('Content-Length with Transfer-Encoding');
  if (head.minor === 0) return ambiguous('Transfer-Encoding in HTTP/1.0');
  return head.chunked ? null : ambiguous('the last transfer coding is not chunked');
}

function targetFault(head: Head): Fault | null {
  const { method, target } = head;
  if (method === 'CONNECT') {
    if (head.chunked || head.contentLength > 0) return ambiguous('CONNECT with a body');
    if (!authorityForm.test(target)) return malformed('bad target of CONNECT');
    return head.host === null || sameAuthority(head.host, target, ':443') ? null : ambiguous('Host differs from the target');
  }
  if (target.startsWith('/')) return null;
  if (target === '*') return method === 'OPTIONS' ? null : malformed('bad target');
  const authority = absoluteAuthority(target);
  if (authority === null || authority.includes('@')) return malformed('bad target');
  if (head.host === null) return null;
  const defaultPort = target.toLowerCase().startsWith('https:') ? ':443' : ':80';
  return sameAuthority(head.host, authority, defaultPort) ? null : ambiguous('Host differs from the target');
}

const authorityForm = /^(?:\[[0-9a-fA-F:.]+\]|[^:/?#@[\]]+):[0-9]{1,5}$/;
/** The schemes in use have letters only, and llhttp takes no others. */
const absoluteForm = /^[a-zA-Z]+:\/\/([^/?#]+)/;

function absoluteAuthority(target: string): string | null {
  return target.startsWith('/') ? null : (absoluteForm.exec(target)?.[1] ?? null);
}

function sameAuthority(one: string, other: string, defaultPort: string): boolean {
  const full = (authority: string): string => (/:[0-9]+$/.test(authority) ? authority : authority + defaultPort).toLowerCase();
  return one.toLowerCase() === other.toLowerCase() || full(one) === full(other);
}
