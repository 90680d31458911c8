// A web server of Node's own for what nginx does not do: HTTP/2 and HTTP/1.1 on one address, 103 and trailers, endless bodies, events that
// come when they are called for, git over HTTP by its own CGI program. It knows nothing of gateways.
//
// Usage: node web-origin.ts '{"addresses":["10.0.0.1"],"certFile":"...","keyFile":"...","gitFolder":"..."}'   prints `ready`

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

export interface WebOrigin {
  readonly addresses: readonly string[];
  readonly certFile: string;
  readonly keyFile: string;
  /** Repositories below it are served as /git/NAME. */
  readonly gitFolder: string;
}

type Serve = (request: Http2ServerRequest, response: Http2ServerResponse, rest: string) => void;

const plan: WebOrigin = JSON.parse(process.argv[2] ?? '{}');
const zeros = Buffer.alloc(64 * 1024);
const listeners = new Set<Http2ServerResponse>();
let events = 0;

const routes: Readonly<Record<string, Serve>> = {
  /** Which version was spoken. */
  version: (request, response) => response.end(`${request.httpVersion}\n`),
  /** 103, then a body with trailers. */
  early: (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.setHeader('Trailer', 'X-Checksum');
    response.write('body\n');
    response.addTrailers({ 'X-Checksum': 'abc' });
    response.end();
  },
  /** /zeros/BYTES */
  zeros: (_request, response, rest) => {
    let left = Number(rest);
    response.setHeader('Content-Length', rest);
    const more = (): void => {
      while (left > 0) {
        const size = Math.min(left, zeros.length);
        left -= size;
        if (!response.write(zeros.subarray(0, size))) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  },
  /** Counts a body. */
  count: (request, response) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => (bytes += chunk.length));
    request.on('end', () => response.end(`${String(bytes)}\n`));
  },
  /** Server-sent events, one for each /tick. */
  events: (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(': hello\n\n');
    listeners.add(response);
    response.on('close', () => listeners.delete(response));
  },
  tick: (_request, response) => {
    events += 1;
    for (const listener of listeners) listener.write(`data: event ${String(events)}\n\n`);
    response.end(`${String(listeners.size)}\n`);
  },
  git: serveGit,
};

const identity = { cert: readFileSync(plan.certFile), key: readFileSync(plan.keyFile), allowHTTP1: true };
for (const address of plan.addresses) await new Promise<void>((resolve) => createSecureServer(identity, serve).listen(443, address, resolve));
console.log('ready');

function serve(request: Http2ServerRequest, response: Http2ServerResponse): void {
  const [, route = '', rest = ''] = /^\/([^/?]*)\/?(.*)$/.exec(request.url) ?? [];
  request.on('error', () => { /* The client left. */ });
  response.on('error', () => { /* Likewise. */ });
  const found = routes[route];
  if (found !== undefined) return found(request, response, rest);
  response.statusCode = 404;
  response.end();
}

/** RFC 3875 by `git http-backend`. */
function serveGit(request: Http2ServerRequest, response: Http2ServerResponse, rest: string): void {
  const [path = '', query = ''] = rest.split('?');
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env['PATH'] ?? '', HOME: plan.gitFolder, GIT_PROJECT_ROOT: plan.gitFolder, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: `/${path}`, QUERY_STRING: query,
      REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] ?? '', REMOTE_USER: 'lab', REMOTE_ADDR: '127.0.0.1',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '', GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // It had enough: the rest of the body has nowhere to go.
  backend.stdin.on('error', () => request.resume());
  request.pipe(backend.stdin);
  let head: Buffer | null = Buffer.alloc(0);
  backend.stdout.on('data', (chunk: Buffer) => {
    if (head === null) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    for (const line of head.toString('latin1', 0, end).split('\r\n')) {
      const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
      if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    const body = head.subarray(end + 4);
    head = null;
    response.write(body);
  });
  backend.stdout.on('end', () => response.end());
}
