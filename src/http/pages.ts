// The pages that tell a client why it was refused, in HTML, JSON or plain text, as whole HTTP/1 responses or as the parts
// of an HTTP/2 one. Texts come from core/errors.ts; everything that came from outside is escaped and bounded.

import { errorTable } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Refusal } from '../core/flow.ts';

/** A page before it is put into a message. */
export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  /** Set for 407: the challenge. */
  readonly proxyAuthenticate: string | null;
}

/** What of the request shapes the message around a page. */
export interface PageContext {
  /** The Accept field, null without one. */
  readonly accept: string | null;
  /** The request was HEAD: no body is sent. */
  readonly toHead: boolean;
  /** False adds `Connection: close`. */
  readonly keepAlive: boolean;
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 407: 'Proxy Authentication Required', 408: 'Request Timeout',
  413: 'Content Too Large', 421: 'Misdirected Request', 429: 'Too Many Requests', 431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons', 500: 'Internal Server Error', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout',
};

/** The status a refusal is told with: the rule's, else by code and stage. */
export function refusalStatus(refusal: Refusal): number {
  if (refusal.status !== null && refusal.status >= 400 && refusal.status <= 599) return refusal.status;
  const special = statusOfCode[refusal.code];
  return special ?? statusOfStage[errorTable[refusal.code].stage];
}

const statusOfCode: Partial<Record<ErrorCode, number>> = {
  AUTH_REQUIRED: 407, DIAL_TIMEOUT: 504, UPSTREAM_TLS_TIMEOUT: 504, IDLE_TIMEOUT: 504, RESET_BY_UPSTREAM: 502, FIRST_BYTES_STALLED: 408,
};

const statusOfStage = {
  admit: 503, detect: 400, policy: 403, dial: 502, 'upstream-tls': 502, certs: 502, 'client-tls': 400, handler: 400, relay: 503, internal: 500,
} as const;

/** The page for a refusal in the form the client accepts. */
export function pageFor(refusal: Refusal, accept: string | null): Page {
  const status = refusalStatus(refusal);
  const form = formFor(accept);
  const text = form === 'json' ? json(refusal, status) : form === 'html' ? html(refusal, status) : plain(refusal, status);
  const proxyAuthenticate = status === 407 ? 'Basic realm="Sallyport", charset="UTF-8"' : null;
  return { status, contentType: contentTypes[form], body: Buffer.from(text, 'utf8'), proxyAuthenticate };
}

/** A page as the bytes of an HTTP/1.1 response. */
export function pageBytes(page: Page, context: PageContext): Buffer {
  const fields: Record<string, string> = { 'Content-Type': page.contentType, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };
  if (page.proxyAuthenticate !== null) fields['Proxy-Authenticate'] = page.proxyAuthenticate;
  return responseBytes(page.status, fields, page.body, context);
}

/** A response of our own as bytes; the fields must be ours, Content-Length and Connection are added. */
export function responseBytes(status: number, fields: Readonly<Record<string, string>>, body: Buffer, context: Omit<PageContext, 'accept'>): Buffer {
  let head = `HTTP/1.1 ${String(status)} ${reasons[status] ?? (status < 300 ? 'OK' : 'Refused')}\r\n`;
  for (const [name, value] of Object.entries(fields)) if (!framingFields.has(name.toLowerCase())) head += `${name}: ${value}\r\n`;
  head += `Content-Length: ${String(body.length)}\r\n${context.keepAlive ? '' : 'Connection: close\r\n'}\r\n`;
  const headBytes = Buffer.from(head, 'latin1');
  return context.toHead ? headBytes : Buffer.concat([headBytes, body]);
}

const framingFields: ReadonlySet<string> = new Set(['content-length', 'connection', 'transfer-encoding']);

type Form = 'html' | 'json' | 'plain';
const contentTypes = { html: 'text/html; charset=utf-8', json: 'application/json', plain: 'text/plain; charset=utf-8' } as const;

/** The first of the three forms by the client's weights; without a wish HTML for browsers is no use, so plain text. */
function formFor(accept: string | null): Form {
  let best: Form = 'plain';
  let bestWeight = 0;
  for (const member of (accept ?? '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = member.split(';').map((part) => part.trim());
    const form = formOf(type);
    const quality = parameters.find((parameter) => parameter.startsWith('q='));
    const weight = quality === undefined ? 1 : Number.parseFloat(quality.slice(2));
    if (form === null || !(weight > bestWeight)) continue;
    best = form;
    bestWeight = weight;
  }
  return best;
}

function formOf(type: string): Form | null {
  if (type === 'text/html' || type === 'application/xhtml+xml') return 'html';
  if (type === 'application/json' || type === 'application/problem+json' || type.endsWith('+json')) return 'json';
  return type === 'text/plain' ? 'plain' : null;
}

function facts(refusal: Refusal): [string, string][] {
  const list: [string, string][] = [['Code', refusal.code]];
  if (refusal.rule !== null) list.push(['Rule', refusal.rule]);
  if (refusal.detail !== null) list.push(['Detail', refusal.detail]);
  return list;
}

function plain(refusal: Refusal, status: number): string {
  const row = errorTable[refusal.code];
  const lines = facts(refusal).map(([name, value]) => `${name}: ${oneLine(value)}`);
  return `${String(status)} ${reasons[status] ?? 'Refused'}\n\n${row.text}\n${row.advice}\n\n${lines.join('\n')}\n\nSallyport gateway\n`;
}

function json(refusal: Refusal, status: number): string {
  const row = errorTable[refusal.code];
  return `${JSON.stringify({ error: { code: refusal.code, status, text: row.text, advice: row.advice, rule: refusal.rule, detail: refusal.detail } })}\n`;
}

function html(refusal: Refusal, status: number): string {
  const row = errorTable[refusal.code];
  const title = `${String(status)} ${reasons[status] ?? 'Refused'}`;
  const rows = facts(refusal).map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`).join('');
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em;color:#222}dt{font-weight:600}dd{margin:0 0 .5em}</style>
</head><body><h1>${title}</h1><p>${escapeHtml(row.text)}</p><p>${escapeHtml(row.advice)}</p><dl>${rows}</dl><p>Sallyport gateway</p></body></html>
`;
}

/** Control characters never reach a terminal or a page. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}

function escapeHtml(text: string): string {
  return oneLine(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };
