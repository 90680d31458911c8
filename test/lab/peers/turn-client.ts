// Clients of the TURN family for what no packaged client does: MS-TURN with data frames or with an odd hello, and libjingle's ssltcp, each
// straight or through an HTTP or SOCKS proxy. Prints its report as one JSON object.
//
// Usage: node turn-client.ts '{"kind":"ms","host":"10.0.0.1","port":443,"user":"u","password":"p"}' (see TurnPeerPlan)

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { runMsTurnClient, type MsTurnClientOptions } from '../../../demo/ms-turn-client.ts';
import { FrameSocket } from '../../../demo/turn-frames.ts';
import { encodeMessage } from '../../../src/turn/codec.ts';
import { ssltcpClientHello, ssltcpServerHello } from '../../../src/turn/hello.ts';

export interface Proxy {
  readonly type: 'http' | 'socks5';
  readonly host: string;
  readonly port: number;
}

export type TurnPeerPlan =
  | (Omit<MsTurnClientOptions, 'connect' | 'hello'> & { readonly kind: 'ms'; readonly proxy?: Proxy; readonly helloHex?: string })
  | { readonly kind: 'ssltcp'; readonly host: string; readonly port: number; readonly frames: number; readonly splitBytes?: number; readonly proxy?: Proxy };

export interface SsltcpReport {
  readonly failure: string | null;
  /** Data frames that came back as they were sent. */
  readonly returned: number;
  readonly hashes: { readonly received: string; readonly sent: string };
}

const bindingRequest = 0x0001;
const bindingResponse = 0x0101;
const plan: TurnPeerPlan = JSON.parse(process.argv[2] ?? '{}');
const report = plan.kind === 'ms' ? await runMsTurnClient({
  ...plan, connect: () => open(plan.host, plan.port, plan.proxy), ...(plan.helloHex === undefined ? {} : { hello: Buffer.from(plan.helloHex, 'hex') }),
}) : await ssltcp(await open(plan.host, plan.port, plan.proxy), plan.frames, plan.splitBytes);
console.log(JSON.stringify(report));
process.exit(0);

/** Hello, one STUN Binding request, data frames; every frame behind two bytes of length. */
async function ssltcp(socket: Duplex, frames: number, splitBytes: number | undefined): Promise<SsltcpReport> {
  const wire = new FrameSocket(socket);
  const send = async (bytes: Buffer): Promise<void> => {
    const step = splitBytes ?? bytes.length;
    for (let at = 0; at < bytes.length; at += step) {
      wire.send(bytes.subarray(at, at + step));
      if (step < bytes.length) await turnOfLoop();
    }
  };
  const frame = async (): Promise<Buffer | null> => {
    const head = await wire.take(2);
    return head === null ? null : await wire.take(head.readUInt16BE(0));
  };
  const done = (failure: string | null, returned: number): SsltcpReport => ({ failure, returned, hashes: wire.hashes() });
  await send(ssltcpClientHello.fixed);
  const hello = await wire.take(ssltcpServerHello.fixed.length);
  if (hello?.equals(ssltcpServerHello.fixed) !== true) return done('no hello', 0);
  await send(framed(encodeMessage({ dialect: 'rfc', type: bindingRequest, attributes: [] })));
  if ((await frame())?.readUInt16BE(0) !== bindingResponse) return done('no answer to a request', 0);
  for (let count = 0; count < frames; count += 1) {
    const media = Buffer.alloc(172, count);
    media.set([0x80, 0]);
    await send(framed(media));
    if ((await frame())?.equals(media) !== true) return done('a data frame did not come back', count);
  }
  socket.end();
  return done(null, frames);
}

function framed(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([body.length >> 8, body.length & 0xff]), body]);
}

/** A connection to host and port, through the proxy where there is one. */
async function open(host: string, port: number, proxy: Proxy | undefined): Promise<Duplex> {
  const socket = connect({ host: proxy?.host ?? host, port: proxy?.port ?? port, noDelay: true });
  await once(socket, 'connect');
  if (proxy?.type === 'http') {
    socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
    const answer = await upTo(socket, '\r\n\r\n');
    if (!/^HTTP\/1\.[01] 200 /.test(answer)) throw new Error(`the proxy says ${answer}`);
  } else if (proxy?.type === 'socks5') {
    socket.write(Buffer.from([5, 1, 0]));
    await exactly(socket, 2);
    socket.write(Buffer.from([5, 1, 0, 1, ...host.split('.').map(Number), port >> 8, port & 0xff]));
    const answer = await exactly(socket, 10);
    if (answer[1] !== 0) throw new Error(`the proxy says ${answer.toString('hex')}`);
  }
  return socket;
}

/** The words up to and with `end`; what follows stays in the socket. */
async function upTo(socket: Socket, end: string): Promise<string> {
  for (let text = ''; ;) {
    text += (await exactly(socket, 1)).toString('latin1');
    if (text.endsWith(end)) return text;
  }
}

async function exactly(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes: unknown = socket.read(count);
    if (Buffer.isBuffer(bytes)) return bytes;
    if (socket.readableEnded) throw new Error('the proxy closed the connection');
    await once(socket, 'readable');
  }
}
