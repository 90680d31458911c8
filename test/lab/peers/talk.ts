// A client of the lab that says exactly the bytes it is told to, over TCP or TLS, at the moments it is told to, and prints as one JSON
// object what came back and how it ended.
//
// Usage: node talk.ts '{"host":"10.0.0.1","port":443,"say":[{"text":"hello\n"}],"untilBytes":6}'

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, TLSSocket, type SecureVersion } from 'node:tls';

export interface Talk {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
  readonly tls?: {
    readonly caFile: string;
    /** Name for SNI and verification; absent: none sent, none checked. */
    readonly name?: string;
    readonly alpn?: readonly string[];
    readonly version?: SecureVersion;
    readonly certFile?: string;
    readonly keyFile?: string;
  };
  /** Said in order; each waits `afterMs` first, and `afterBytes` received. */
  readonly say?: readonly { readonly text?: string; readonly hex?: string; readonly afterMs?: number; readonly afterBytes?: number }[];
  /** Ends its own side after the last word: half-close. */
  readonly end?: boolean;
  /** Leaves once that many bytes came; absent: waits for the other side to end. */
  readonly untilBytes?: number;
  /** Stays that long afterwards. */
  readonly holdMs?: number;
  readonly timeoutMs?: number;
}

export interface TalkResult {
  readonly connected: boolean;
  readonly secured: boolean;
  readonly receivedText: string;
  readonly received: { readonly bytes: number; readonly sha256: string };
  readonly sent: { readonly bytes: number; readonly sha256: string };
  /** How it ended: it left by itself, the other side ended or reset, or the time was over. */
  readonly end: 'left' | 'ended' | 'timeout' | 'error';
  readonly errorCode: string | null;
  readonly alpn: string | null;
  readonly version: string | null;
  readonly issuer: string | null;
  readonly elapsedMs: number;
}

const textBytesMax = 64 * 1024;
const pollMs = 5;
const talk: Talk = JSON.parse(process.argv[2] ?? '{}');
console.log(JSON.stringify(await converse(talk)));
process.exit(0);

async function converse(plan: Talk): Promise<TalkResult> {
  const started = Date.now();
  const chunks: Buffer[] = [];
  const received = createHash('sha256');
  const sent = createHash('sha256');
  let [receivedBytes, sentBytes] = [0, 0];
  let [connected, secured] = [false, false];
  let over: TalkResult['end'] | null = null;
  let errorCode: string | null = null;
  const finish = (end: TalkResult['end']): void => {
    over ??= end;
  };
  const socket = plan.tls === undefined ? connect({ ...target(plan), allowHalfOpen: true, noDelay: true }) : secure(plan, plan.tls);
  socket.on('connect', () => { connected = true; });
  socket.on('secureConnect', () => { secured = true; });
  socket.on('data', (chunk: Buffer) => {
    if (receivedBytes < textBytesMax) chunks.push(chunk);
    received.update(chunk);
    receivedBytes += chunk.length;
    if (plan.untilBytes !== undefined && receivedBytes >= plan.untilBytes) finish('left');
  });
  socket.on('end', () => finish('ended'));
  socket.on('close', () => finish('ended'));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    errorCode = error.code ?? error.message;
    finish('error');
  });
  const timer = setTimeout(() => finish('timeout'), plan.timeoutMs ?? 15_000);
  const until = async (ready: () => boolean): Promise<void> => {
    while (over === null && !ready()) await sleep(pollMs);
  };
  await until(() => (plan.tls === undefined ? connected : secured));
  for (const { text, hex, afterMs = 0, afterBytes = 0 } of plan.say ?? []) {
    await until(() => receivedBytes >= afterBytes);
    if (afterMs > 0) await sleep(afterMs);
    if (over !== null && over !== 'left') break;
    const bytes = hex === undefined ? Buffer.from(text ?? '') : Buffer.from(hex, 'hex');
    sent.update(bytes);
    sentBytes += bytes.length;
    socket.write(bytes);
  }
  if (plan.end === true) socket.end();
  await until(() => false);
  if (plan.holdMs !== undefined) await sleep(plan.holdMs);
  clearTimeout(timer);
  const facts = tlsFacts(socket);
  socket.end();
  await sleep(20);
  socket.destroy();
  return {
    connected, secured, receivedText: Buffer.concat(chunks).toString('latin1'),
    received: { bytes: receivedBytes, sha256: received.digest('hex') }, sent: { bytes: sentBytes, sha256: sent.digest('hex') },
    end: over ?? 'timeout', errorCode, ...facts, elapsedMs: Date.now() - started,
  };
}

function target({ host, port, localAddress }: Talk): { host: string; port: number; localAddress?: string } {
  return { host, port, ...(localAddress === undefined ? {} : { localAddress }) };
}

function secure(plan: Talk, tls: NonNullable<Talk['tls']>): TLSSocket {
  return connectTls({
    ...target(plan),
    ca: [readFileSync(tls.caFile)],
    ...(tls.name === undefined ? { checkServerIdentity: () => undefined } : { servername: tls.name }),
    ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
    ...(tls.version === undefined ? {} : { minVersion: tls.version, maxVersion: tls.version }),
    ...(tls.certFile === undefined || tls.keyFile === undefined ? {} : { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) }),
  });
}

function tlsFacts(socket: Socket): Pick<TalkResult, 'alpn' | 'version' | 'issuer'> {
  if (!(socket instanceof TLSSocket)) return { alpn: null, version: null, issuer: null };
  const { alpnProtocol } = socket;
  return {
    alpn: typeof alpnProtocol === 'string' ? alpnProtocol : null,
    version: socket.getProtocol(),
    issuer: socket.getPeerX509Certificate()?.issuer ?? null,
  };
}
