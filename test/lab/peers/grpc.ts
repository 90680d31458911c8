// A gRPC service and its client by @grpc/grpc-js: all four kinds of call, trailers with a status and metadata, a cancelled call. The messages
// are bytes as they are; what a proxy does to them shows in their lengths and order.
//
// Usage: node grpc.ts serve '{"addresses":["10.0.0.1:443"],"certFile":"...","keyFile":"..."}'   prints `ready`
//        node grpc.ts call '{"address":"name:443","caFile":"..."}'                              prints one JSON line

import { readFileSync } from 'node:fs';
import { credentials, Client, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { ServerDuplexStream, ServerReadableStream, ServerUnaryCall, ServerWritableStream, ServiceError, sendUnaryData } from '@grpc/grpc-js';

export interface GrpcServing {
  readonly addresses: readonly string[];
  readonly certFile: string;
  readonly keyFile: string;
}

export interface GrpcCalling {
  readonly address: string;
  readonly caFile: string;
}

/** What the client saw. */
export interface GrpcReport {
  readonly unary: { readonly text: string; readonly initial: string; readonly trailing: string };
  readonly failed: { readonly code: number; readonly details: string };
  /** Messages and bytes that the server counted. */
  readonly clientStream: string;
  readonly serverStream: { readonly messages: number; readonly bytes: number };
  /** Each answer came before the next question was asked. */
  readonly bidi: readonly string[];
  readonly cancelled: number;
}

const asIs = (bytes: Buffer): Buffer => bytes;
const pathOf = (name: string): string => `/lab.Echo/${name}`;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: pathOf(name), requestStream, responseStream, requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs,
});
const streamedMessages = 200;
const messageBytes = 10_000;

const [mode, plan = '{}'] = process.argv.slice(2);
if (mode === 'serve') await serve(JSON.parse(plan));
else console.log(JSON.stringify(await call(JSON.parse(plan))));

async function serve({ addresses, certFile, keyFile }: GrpcServing): Promise<void> {
  const server = new Server();
  server.addService(
    { Unary: method('Unary', false, false), Collect: method('Collect', true, false), Emit: method('Emit', false, true), Talk: method('Talk', true, true) },
    {
      Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
        if (call.request.toString() === 'fail') return answer({ code: status.NOT_FOUND, details: 'no such thing: ü' });
        const initial = new Metadata();
        initial.set('x-initial', 'one');
        call.sendMetadata(initial);
        const trailing = new Metadata();
        trailing.set('x-trailing', 'two');
        answer(null, Buffer.from(`you said ${call.request.toString()}`), trailing);
      },
      Collect(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
        let messages = 0;
        let bytes = 0;
        call.on('data', (message: Buffer) => {
          messages += 1;
          bytes += message.length;
        });
        call.on('end', () => answer(null, Buffer.from(`${String(messages)} ${String(bytes)}`)));
      },
      Emit(call: ServerWritableStream<Buffer, Buffer>) {
        for (let count = 0; count < streamedMessages; count += 1) call.write(Buffer.alloc(messageBytes, count));
        call.end();
      },
      Talk(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (message: Buffer) => call.write(Buffer.from(`re: ${message.toString()}`)));
        call.on('end', () => call.end());
        call.on('error', () => { /* The client cancelled. */ });
      },
    },
  );
  const trusted = ServerCredentials.createSsl(null, [{ cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) }]);
  for (const address of addresses) {
    await new Promise<void>((resolve, reject) => server.bindAsync(address, trusted, (error) => (error === null ? resolve() : reject(error))));
  }
  console.log('ready');
}

async function call({ address, caFile }: GrpcCalling): Promise<GrpcReport> {
  const client = new Client(address, credentials.createSsl(readFileSync(caFile)));
  const report = {
    unary: await unary(client), failed: await failed(client), clientStream: await clientStream(client), serverStream: await serverStream(client),
    bidi: await bidi(client), cancelled: await cancelled(client),
  };
  client.close();
  return report;
}

function unary(client: Client): Promise<GrpcReport['unary']> {
  return new Promise((resolve, reject) => {
    let initial = '';
    let text = '';
    const stream = client.makeUnaryRequest<Buffer, Buffer>(pathOf('Unary'), asIs, asIs, Buffer.from('hello'), (error: ServiceError | null, answer?: Buffer) => {
      if (error !== null) return reject(error);
      text = answer?.toString() ?? '';
    });
    stream.on('metadata', (metadata: Metadata) => (initial = String(metadata.get('x-initial')[0])));
    stream.on('status', ({ metadata }) => resolve({ text, initial, trailing: String(metadata.get('x-trailing')[0]) }));
  });
}

function failed(client: Client): Promise<GrpcReport['failed']> {
  return new Promise((resolve) => {
    client.makeUnaryRequest<Buffer, Buffer>(pathOf('Unary'), asIs, asIs, Buffer.from('fail'), (error: ServiceError | null) => resolve({ code: error?.code ?? 0, details: error?.details ?? '' }));
  });
}

function clientStream(client: Client): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = client.makeClientStreamRequest<Buffer, Buffer>(pathOf('Collect'), asIs, asIs, (error: ServiceError | null, answer?: Buffer) => (error === null ? resolve(answer?.toString() ?? '') : reject(error)));
    for (let count = 0; count < streamedMessages; count += 1) stream.write(Buffer.alloc(messageBytes, count));
    stream.end();
  });
}

async function serverStream(client: Client): Promise<GrpcReport['serverStream']> {
  let messages = 0;
  let bytes = 0;
  for await (const message of client.makeServerStreamRequest<Buffer, Buffer>(pathOf('Emit'), asIs, asIs, Buffer.from('go'))) {
    messages += 1;
    if (Buffer.isBuffer(message)) bytes += message.length;
  }
  return { messages, bytes };
}

async function bidi(client: Client): Promise<readonly string[]> {
  const stream = client.makeBidiStreamRequest<Buffer, Buffer>(pathOf('Talk'), asIs, asIs);
  const heard: string[] = [];
  stream.write(Buffer.from('0'));
  for await (const message of stream) {
    heard.push(String(message));
    if (heard.length === 5) stream.end();
    else stream.write(Buffer.from(String(heard.length)));
  }
  return heard;
}

function cancelled(client: Client): Promise<number> {
  return new Promise((resolve) => {
    const stream = client.makeBidiStreamRequest<Buffer, Buffer>(pathOf('Talk'), asIs, asIs);
    stream.on('error', () => { /* Told by the status. */ });
    stream.on('status', ({ code }) => resolve(code));
    stream.on('data', () => stream.cancel());
    stream.write(Buffer.from('stay'));
  });
}
