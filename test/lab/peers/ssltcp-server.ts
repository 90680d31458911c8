// A server behind libjingle's ssltcp hello, which it sends in two writes: answers STUN requests, returns every other frame. Prints
// `ready`, then the hashes of each connection that ended, one JSON object a line.
//
// Usage: node ssltcp-server.ts HOST PORT...

import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameSocket } from '../../../demo/turn-frames.ts';
import { encodeMessage } from '../../../src/turn/codec.ts';
import { ssltcpClientHello, ssltcpServerHello } from '../../../src/turn/hello.ts';

const bindingRequest = 0x0001;
const bindingResponse = 0x0101;
const splitAt = 40;
const splitPauseMs = 50;
const [host = '', ...ports] = process.argv.slice(2);
let waiting = ports.length;
for (const port of ports) {
  createServer({ noDelay: true }, (socket) => void serve(socket)).listen(Number(port), host, () => {
    waiting -= 1;
    if (waiting === 0) console.log('ready');
  });
}

async function serve(socket: Socket): Promise<void> {
  const wire = new FrameSocket(socket);
  const hello = await wire.take(ssltcpClientHello.fixed.length);
  if (hello?.equals(ssltcpClientHello.fixed) === true) {
    wire.send(ssltcpServerHello.fixed.subarray(0, splitAt));
    await sleep(splitPauseMs);
    wire.send(ssltcpServerHello.fixed.subarray(splitAt));
    for (let head = await wire.take(2); head !== null; head = await wire.take(2)) {
      const body = await wire.take(head.readUInt16BE(0));
      if (body === null) break;
      const answer = body.readUInt16BE(0) === bindingRequest ? encodeMessage({ dialect: 'rfc', type: bindingResponse, transaction: body.subarray(4, 20), attributes: [] }) : body;
      wire.send(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 0xff]), answer]));
    }
  }
  console.log(JSON.stringify(wire.hashes()));
  socket.end();
}
