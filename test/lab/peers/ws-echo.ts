// A WebSocket server that sends back what comes, by the ws package, over TLS and in the clear; and a client by undici, over HTTP/1.1 or HTTP/2
// (RFC 6455, RFC 8441), that talks to such a server.
//
// Usage: node ws-echo.ts serve '{"tls":["10.0.0.1"],"plain":8081,"certFile":"...","keyFile":"..."}'   prints `ready`
//        node ws-echo.ts talk '{"url":"wss://name/","caFile":"...","h2":true}'                        prints one JSON line

import { readFileSync } from 'node:fs';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Agent, WebSocket } from 'undici';
import { WebSocketServer } from 'ws';

export interface WsServing {
  /** Addresses for TLS on port 443. */
  readonly tls: readonly string[];
  /** Port in the clear, on 127.0.0.1. */
  readonly plain: number;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface WsTalking {
  readonly url: string;
  readonly caFile: string;
  readonly h2: boolean;
}

export interface WsReport {
  /** Lengths of the messages that came back as they were sent. */
  readonly echoed: readonly number[];
  readonly closed: { readonly code: number; readonly reason: string };
}

/** RFC 6455 section 5.2: the three ways to write a length, and more than one TLS record. */
const lengths = [0, 1, 125, 126, 65_535, 65_536, 1_000_000] as const;

const [mode, plan = '{}'] = process.argv.slice(2);
if (mode === 'serve') await serve(JSON.parse(plan));
else console.log(JSON.stringify(await talk(JSON.parse(plan))));

async function serve({ tls, plain, certFile, keyFile }: WsServing): Promise<void> {
  const page = (_request: unknown, response: { setHeader(name: string, value: string): unknown; end(text: string): unknown }): void => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!DOCTYPE html><title>ready</title>');
  };
  const identity = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const servers = [...tls.map((host) => ({ server: createServer(identity, page), port: 443, host })), { server: createPlain(page), port: plain, host: '127.0.0.1' }];
  for (const { server, port, host } of servers) {
    new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
    await new Promise<AddressInfo>((resolve) => server.listen(port, host, () => resolve(server.address() as AddressInfo)));
  }
  console.log('ready');
}

async function talk({ url, caFile, h2 }: WsTalking): Promise<WsReport> {
  const dispatcher = new Agent({ allowH2: h2, connect: { ca: readFileSync(caFile) } });
  const socket = new WebSocket(url, { dispatcher });
  socket.binaryType = 'arraybuffer';
  await settled(socket, 'open');
  const echoed: number[] = [];
  for (const [index, length] of lengths.entries()) {
    const sent = Buffer.alloc(length, index + 1);
    socket.send(sent);
    const { data } = await settled(socket, 'message');
    if (data instanceof ArrayBuffer && Buffer.from(data).equals(sent)) echoed.push(length);
  }
  const closing = settled(socket, 'close');
  socket.close(4_001, 'enough');
  const { code, reason } = await closing;
  await dispatcher.close();
  return { echoed, closed: { code, reason } };
}

interface Happened {
  readonly data?: unknown;
  readonly code: number;
  readonly reason: string;
}

function settled(socket: WebSocket, event: 'open' | 'message' | 'close'): Promise<Happened> {
  return new Promise((resolve, reject) => {
    const told = (happened: object): void => resolve({ code: 0, reason: '', ...pick(happened) });
    if (event === 'open') socket.addEventListener('open', told, { once: true });
    else if (event === 'message') socket.addEventListener('message', told, { once: true });
    else socket.addEventListener('close', told, { once: true });
    socket.addEventListener('error', (failure) => reject(failure.error instanceof Error ? failure.error : new Error(failure.message)), { once: true });
  });
}

function pick(happened: object): Partial<Happened> {
  return {
    ...('data' in happened ? { data: happened.data } : {}),
    ...('code' in happened && typeof happened.code === 'number' ? { code: happened.code } : {}),
    ...('reason' in happened && typeof happened.reason === 'string' ? { reason: happened.reason } : {}),
  };
}
