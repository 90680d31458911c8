// A small Skype for Business deployment in one process: autodiscovery on port 80 and 443, web services on 443, SIP over TLS on the ports
// asked for. Prints `ready`, then one JSON line for each web request and each SIP connection that ended.
//
// Usage: node lync-server.ts '{"discover":["10.0.0.1","discover.test"],...}' (see LyncPlan)

import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { serveLyncSip, type SipOptions } from './lync-sip.ts';
import { serveWeb, type WebOptions } from './lync-web.ts';

export interface LyncPlan {
  /** Addresses of autodiscovery, the web services and the SIP server. */
  readonly discover: string;
  readonly web: string;
  readonly sip: string;
  readonly webHost: string;
  readonly sipHost: string;
  /** Where SIP listens; what autodiscovery names is in `sipPorts`. */
  readonly sipListens: readonly number[];
  readonly sipPorts: { readonly internal: number; readonly external: number };
  readonly relay: SipOptions['relay'];
  readonly certFile: string;
  readonly keyFile: string;
}

const plan: LyncPlan = JSON.parse(process.argv[2] ?? '{}');
const certificate = readFileSync(plan.certFile, 'utf8');
const privateKey = readFileSync(plan.keyFile, 'utf8');
const tls = { cert: certificate, key: privateKey };
const say = (line: object): void => console.log(JSON.stringify(line));
const web: WebOptions = { webHost: plan.webHost, sipHost: plan.sipHost, sipPorts: plan.sipPorts, certificate, privateKey };
const sip: SipOptions = { host: plan.sipHost, stsUri: `https://${plan.webHost}:443/CertProv/CertProvisioningService.svc`, certificate, privateKey, relay: plan.relay };

const listeners: readonly (readonly [Server, string, number])[] = [
  [createHttpServer((request, response) => void serveWeb(web, 'http', say, request, response)), plan.discover, 80],
  [createHttpsServer(tls, (request, response) => void serveWeb(web, 'https', say, request, response)), plan.discover, 443],
  [createHttpsServer(tls, (request, response) => void serveWeb(web, 'https', say, request, response)), plan.web, 443],
  ...plan.sipListens.map((port) => [createTlsServer(tls, (socket) => serveLyncSip(socket, sip, say)), plan.sip, port] as const),
];
let waiting = listeners.length;
for (const [server, host, port] of listeners) {
  server.on('error', (error) => {
    console.error(`${host}:${port}: ${error.message}`);
    process.exit(1);
  });
  server.listen(port, host, () => {
    waiting -= 1;
    if (waiting === 0) console.log('ready');
  });
}
