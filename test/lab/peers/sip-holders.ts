// Many idle SIP clients in one process: each registers over TLS on a connection of its own, then only keeps it alive with double line ends
// (RFC 5626 section 4.4.1) and registers again in time, and at the end asks OPTIONS to see that it still works. Prints `holding` once all have
// registered, and one JSON object at the end.
//
// Usage: node sip-holders.ts '{"host":"10.0.0.1","port":443,"name":"sip.test","caFile":"ca.pem","count":50,"pingMs":2000,"holdMs":12000}'

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { authParams, digestResponse, headerOf, sipBytes, SipReader, statusOf, type SipMessage } from '../../../demo/sip-message.ts';

export interface Holding {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly caFile: string;
  readonly user: string;
  readonly password: string;
  readonly count: number;
  /** Milliseconds between keep-alives; 0 sends none. */
  readonly pingMs: number;
  readonly holdMs: number;
}

export interface HoldingReport {
  readonly registered: number;
  readonly pings: number;
  readonly pongs: number;
  /** Connections that answered OPTIONS at the end. */
  readonly alive: number;
}

const answerMs = 15_000;
const expiresSeconds = 600;
/** Registers again after this share of the time, as phones do. */
const refreshShare = 2 / 3;
const plan: Holding = JSON.parse(process.argv[2] ?? '{}');

async function hold(client: Client): Promise<Omit<HoldingReport, 'registered'>> {
  const counts = { pings: 0, alive: 0 };
  try {
    const end = Date.now() + plan.holdMs;
    for (let refreshAt = nextRefresh(); Date.now() < end;) {
      await sleep(Math.min(plan.pingMs === 0 ? plan.holdMs : plan.pingMs, end - Date.now()));
      if (plan.pingMs === 0 || Date.now() >= end) continue;
      if (Date.now() >= refreshAt) {
        await client.register();
        refreshAt = nextRefresh();
      }
      client.ping();
      counts.pings += 1;
    }
    counts.alive = statusOf(await client.ask('OPTIONS', 0)) === 200 ? 1 : 0;
  } catch {
    // What did not happen is not counted.
  }
  client.close();
  return { ...counts, pongs: client.pongs };
}

function nextRefresh(): number {
  return Date.now() + expiresSeconds * refreshShare * 1000;
}

/** A client that has registered; null when it could not. */
async function registered(index: number): Promise<Client | null> {
  const client = new Client(index);
  try {
    await client.open();
    await client.register();
    return client;
  } catch (error) {
    console.log(`client ${index}: ${String(error)}`);
    return null;
  }
}

class Client {
  readonly #user: string;
  readonly #callId = randomUUID();
  readonly #tag = randomUUID();
  readonly #reader = new SipReader();
  #socket: TLSSocket | null = null;
  #sequence = 0;
  #waiting: ((message: SipMessage | null) => void) | null = null;
  pongs = 0;

  constructor(index: number) {
    this.#user = `${plan.user}${index}`;
  }

  async open(): Promise<void> {
    const socket = connect({ host: plan.host, port: plan.port, servername: plan.name, ca: [readFileSync(plan.caFile)] });
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', () => resolve()).once('error', reject));
    socket.on('error', () => socket.destroy()).on('close', () => this.#waiting?.(null));
    socket.on('data', (chunk: Buffer) => {
      for (const item of this.#reader.push(chunk)) {
        if (item === 'pong' || item === 'ping') this.pongs += 1;
        else if (statusOf(item) >= 200) this.#waiting?.(item);
      }
    });
  }

  async register(): Promise<void> {
    const challenge = await this.ask('REGISTER', expiresSeconds);
    const answer = statusOf(challenge) === 401 ? await this.ask('REGISTER', expiresSeconds, headerOf(challenge, 'www-authenticate')) : challenge;
    if (statusOf(answer) !== 200) throw new Error(`REGISTER: ${answer.startLine}`);
  }

  async ask(method: string, expires: number, challenge?: string): Promise<SipMessage> {
    if (this.#socket === null || this.#socket.destroyed) throw new Error('the connection is gone');
    this.#sequence += 1;
    const uri = `sip:${plan.name}`;
    const me = `sip:${this.#user}@${plan.name}`;
    const answer = new Promise<SipMessage | null>((resolve) => {
      this.#waiting = resolve;
      setTimeout(resolve, answerMs, null);
    });
    this.#socket?.write(sipBytes(`${method} ${uri} SIP/2.0`, [
      `Via: SIP/2.0/TLS ${this.#socket.localAddress ?? ''}:${this.#socket.localPort ?? 0};branch=z9hG4bK${randomUUID()};rport`, 'Max-Forwards: 70',
      `From: <${me}>;tag=${this.#tag}`, `To: <${method === 'REGISTER' ? me : uri}>`, `Call-ID: ${this.#callId}`, `CSeq: ${this.#sequence} ${method}`,
      ...(method === 'REGISTER' ? [`Contact: <sip:${this.#user}@${this.#socket.localAddress ?? ''}:${this.#socket.localPort ?? 0};transport=tls>;expires=${expires}`] : []),
      ...(challenge === undefined ? [] : [this.#authorization(challenge, method, uri)]),
    ]));
    const message = await answer;
    if (message === null) throw new Error('no answer');
    return message;
  }

  ping(): void {
    this.#socket?.write('\r\n\r\n');
  }

  close(): void {
    this.#socket?.end();
  }

  /** Digest as RFC 2617 has it, with or without qop. */
  #authorization(challenge: string, method: string, uri: string): string {
    const asked = { ...authParams(challenge), uri, nc: '00000001', cnonce: randomUUID() };
    const { realm = '', nonce = '' }: Readonly<Record<string, string>> = asked;
    const response = digestResponse(this.#user, plan.password, method, asked);
    return `Authorization: Digest username="${this.#user}", realm="${realm}", nonce="${nonce}", uri="${uri}", qop=auth, nc=00000001, cnonce="${asked.cnonce}", response="${response}", algorithm=MD5`;
  }
}

const clients = (await Promise.all(Array.from({ length: plan.count }, (_, index) => registered(index)))).filter((client) => client !== null);
console.log('holding');
const holders = await Promise.all(clients.map(hold));
const sum = (read: (holder: (typeof holders)[number]) => number): number => holders.reduce((total, holder) => total + read(holder), 0);
const report: HoldingReport = { registered: clients.length, pings: sum(({ pings }) => pings), pongs: sum(({ pongs }) => pongs), alive: sum(({ alive }) => alive) };
console.log(JSON.stringify(report));
process.exit(0);
