// Runs mockttp as an interceptor, as its documentation shows. Started by mockttp.ts; ends with SIGTERM.
// Run: node bench/peers/mockttp-server.ts FOLDER PORT KEY CERT ROOT

import { createRequire } from 'node:module';
import { join } from 'node:path';

/** As much of mockttp as is used here. */
interface Mockttp {
  getLocal(options: object): {
    forAnyRequest(): { thenPassThrough(options: object): Promise<unknown> };
    forAnyWebSocket(): { thenPassThrough(options: object): Promise<unknown> };
    on(event: 'response', listener: (response: { statusCode: number }) => void): Promise<void>;
    start(port: number): Promise<void>;
  };
}

const [folder, port, keyPath, certPath, rootFile] = process.argv.slice(2);
if (folder === undefined || port === undefined || keyPath === undefined || certPath === undefined || rootFile === undefined) throw new Error('usage: mockttp-server.ts FOLDER PORT KEY CERT ROOT');

// Its types are not installed where this is checked.
const { getLocal } = createRequire(join(folder, 'package.json'))('mockttp') as Mockttp;
const server = getLocal({ https: { keyPath, certPath }, http2: true, recordTraffic: false, suggestChanges: false });
const through = { additionalTrustedCAs: [{ certPath: rootFile }] };
await server.forAnyRequest().thenPassThrough(through);
await server.forAnyWebSocket().thenPassThrough(through);
await server.on('response', ({ statusCode }) => process.stdout.write(`response ${String(statusCode)}\n`));
await server.start(Number(port));
process.stdout.write('mockttp is up\n');
