// A web server whose login binds to the connection, as NTLM's does (MS-NLMP, MS-NTHT): three legs on one connection, and whoever asks on
// that connection from then on is that user. It checks no password: what is under test is who shares whose connection.
//
// Usage: node ntlm-origin.ts '{"address":"10.0.0.1","certFile":"...","keyFile":"..."}'   prints `ready`, then one JSON line a request

import { readFileSync } from 'node:fs';
import { createServer as createPlain } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';

export interface NtlmServing {
  readonly address: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface NtlmRequest {
  readonly path: string;
  readonly connection: number;
  /** Whose connection it was when the request was answered. */
  readonly user: string | null;
  readonly status: number;
}

interface Login {
  readonly connection: number;
  challenged: boolean;
  user: string | null;
}

const plan: NtlmServing = JSON.parse(process.argv[2] ?? '{}');
const logins = new WeakMap<object, Login>();
let connections = 0;
const identity = { cert: readFileSync(plan.certFile), key: readFileSync(plan.keyFile), keepAliveTimeout: 60_000 };
await new Promise<void>((resolve) => createServer(identity, serve).listen(443, plan.address, resolve));
await new Promise<void>((resolve) => createPlain({ keepAliveTimeout: 60_000 }, serve).listen(80, plan.address, resolve));
console.log('ready');

function serve(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  let login = logins.get(request.socket);
  if (login === undefined) {
    connections += 1;
    login = { connection: connections, challenged: false, user: null };
    logins.set(request.socket, login);
  }
  const message = /^NTLM ([A-Za-z0-9+/=]+)$/.exec(request.headers.authorization ?? '')?.[1];
  let challenge = 'NTLM';
  if (message !== undefined) {
    const bytes = Buffer.from(message, 'base64');
    const kind = bytes.length >= 12 && bytes.toString('latin1', 0, 8) === 'NTLMSSP\0' ? bytes.readUInt32LE(8) : 0;
    if (kind === 1) {
      login.challenged = true;
      login.user = null;
      challenge = `NTLM ${challengeMessage().toString('base64')}`;
    } else if (kind === 3 && login.challenged) {
      login.challenged = false;
      login.user = userOf(bytes);
    }
  }
  const { connection, user } = login;
  const status = user === null ? 401 : 200;
  response.writeHead(status, { 'Content-Type': 'text/plain', ...(status === 401 ? { 'WWW-Authenticate': challenge } : {}) });
  response.end(status === 401 ? 'who are you?\n' : `${String(user)} on connection ${String(connection)}\n`);
  const told: NtlmRequest = { path: request.url ?? '', connection, user, status };
  console.log(JSON.stringify(told));
}

/** MS-NLMP 2.2.1.2: CHALLENGE_MESSAGE with a target name and the shortest target information. */
function challengeMessage(): Buffer {
  const name = Buffer.from('LAB', 'utf16le');
  const information = Buffer.concat([Buffer.from([2, 0, name.length, 0]), name, Buffer.from([0, 0, 0, 0])]);
  const head = Buffer.alloc(48);
  head.write('NTLMSSP\0', 'latin1');
  head.writeUInt32LE(2, 8);
  securityBuffer(head, 12, name.length, 48);
  // Unicode, request target, NTLM, always sign, target is a domain, extended session security, target information.
  head.writeUInt32LE(0x0089_8205, 20);
  head.writeUInt32LE(0x0123_4567, 24);
  head.writeUInt32LE(0x89ab_cdef, 28);
  securityBuffer(head, 40, information.length, 48 + name.length);
  return Buffer.concat([head, name, information]);
}

function securityBuffer(bytes: Buffer, at: number, length: number, offset: number): void {
  bytes.writeUInt16LE(length, at);
  bytes.writeUInt16LE(length, at + 2);
  bytes.writeUInt32LE(offset, at + 4);
}

/** MS-NLMP 2.2.1.3: UserName of an AUTHENTICATE_MESSAGE. */
function userOf(bytes: Buffer): string | null {
  if (bytes.length < 64) return null;
  const length = bytes.readUInt16LE(36);
  const offset = bytes.readUInt32LE(40);
  const unicode = (bytes.readUInt32LE(60) & 1) === 1;
  return bytes.toString(unicode ? 'utf16le' : 'latin1', offset, offset + length);
}
