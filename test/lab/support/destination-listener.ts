// Run by test/lab/net.test.ts inside the gateway's namespace: answers each connection with where its client meant to go, as JSON.
// Arguments: redirect|tproxy, address and port to listen on.

import { createServer } from 'node:net';
import { originalDestination, setTransparent } from '../../../src/listener/original-dst.ts';

const [acquire, host, port] = process.argv.slice(2);
const server = createServer((socket) => {
  socket.on('error', () => {});
  const destination = acquire === 'tproxy' ? { ip: socket.localAddress, port: socket.localPort } : originalDestination(socket);
  socket.end(JSON.stringify({ by: 'gateway', from: socket.remoteAddress, destination }));
});
server.listen(Number(port), host, () => {
  if (acquire === 'tproxy') setTransparent(server);
  process.stdout.write('ready\n');
});
