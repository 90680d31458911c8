// Who a proxy request says it comes from: Proxy-Authorization with Basic (RFC 7617), and the challenge that asks for it. It checks
// nothing itself and keeps nothing.

import { byte } from './grammar.ts';
import { fieldLines } from './fields.ts';
import type { Head } from './head.ts';
import type { Page } from './pages.ts';

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Checks a user's password; must not block the event loop. */
export type LoginCheck = (user: string, password: string) => Promise<boolean>;

/** Whose requests a service takes, and what clients show when they ask for the password. */
export interface LoginWanted {
  readonly check: LoginCheck;
  readonly realm: string;
}

const basic = /^basic +([a-zA-Z0-9+/]+={0,2}) *$/i;

/** The login of a request's head; null without exactly one that can be read. */
export function loginOf(head: Head, bytes: Buffer): Login | null {
  const lines = fieldLines(bytes, head.fieldsStart, head.lengthBytes, 'proxy-authorization');
  const [line] = lines;
  if (line === undefined || lines.length > 1) return null;
  const value = bytes.toString('latin1', bytes.indexOf(byte.colon, line[0]) + 1, line[1]).trim();
  const [, encoded] = basic.exec(value) ?? [];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? null : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** The page with the challenge of this realm. */
export function withChallenge(page: Page, realm: string): Page {
  const quoted = realm.replace(/[\p{Cc}]/gu, ' ').replace(/["\\]/g, '\\$&');
  return { ...page, proxyAuthenticate: `Basic realm="${Buffer.from(quoted, 'utf8').toString('latin1')}", charset="UTF-8"` };
}
