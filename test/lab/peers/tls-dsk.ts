// The server's half of the TLS handshake that TLS-DSK carries inside SIP headers (MS-SIPAE section 3.2.5.1): TLS 1.0 with RSA and RC4,
// as pidgin-sipe speaks it, the client's certificate asked for and its signature checked. It protects nothing: it is here to have a
// signed association that a changed byte would break.

import { createHash, createHmac, privateDecrypt, publicDecrypt, randomBytes, X509Certificate, constants } from 'node:crypto';

/** A finished handshake: the keys that sign messages from here on. */
export interface Association {
  readonly clientKey: Buffer;
  readonly serverKey: Buffer;
  readonly hash: 'md5' | 'sha1';
  /** Subject of the certificate that the client proved to own. */
  readonly subject: string;
}

interface Suite {
  readonly id: number;
  readonly hash: 'md5' | 'sha1';
  readonly macBytes: number;
}

const suites: readonly Suite[] = [{ id: 0x0005, hash: 'sha1', macBytes: 20 }, { id: 0x0004, hash: 'md5', macBytes: 16 }];
const tls10 = Buffer.from([3, 1]);
const recordTypes = { changeCipherSpec: 20, handshake: 22 } as const;
const types = { serverHello: 2, certificate: 11, certificateRequest: 13, serverHelloDone: 14, certificateVerify: 15, clientKeyExchange: 16, finished: 20 } as const;
const keyBytes = 16;

export class TlsDskServer {
  readonly #certificate: Buffer;
  readonly #privateKey: string;
  readonly #messages: Buffer[] = [];
  #clientRandom: Buffer = Buffer.alloc(0);
  readonly #serverRandom = randomBytes(32);
  #suite: Suite | null = null;
  association: Association | null = null;

  /** PEM texts of the server's RSA certificate and key. */
  constructor(certificate: string, privateKey: string) {
    this.#certificate = new X509Certificate(certificate).raw;
    this.#privateKey = privateKey;
  }

  /** Answers one flight of the client with the next of ours. Throws when anything does not fit. */
  next(flight: Buffer): Buffer {
    return this.#suite === null ? this.#hello(flight) : this.#finish(flight, this.#suite);
  }

  #hello(flight: Buffer): Buffer {
    const hello = this.#note(handshakesIn(flight)[0]);
    this.#clientRandom = hello.subarray(6, 38);
    const ciphersAt = 38 + 1 + hello.readUInt8(38);
    const offered = hello.subarray(ciphersAt + 2, ciphersAt + 2 + hello.readUInt16BE(ciphersAt));
    const suite = suites.find(({ id }) => [...Array(offered.length / 2).keys()].some((index) => offered.readUInt16BE(index * 2) === id));
    if (suite === undefined) throw new Error('no common suite');
    this.#suite = suite;
    const answer = [
      handshake(types.serverHello, Buffer.concat([tls10, this.#serverRandom, Buffer.from([0]), uint(suite.id, 2), Buffer.from([0])])),
      handshake(types.certificate, vector(vector(this.#certificate, 3), 3)),
      handshake(types.certificateRequest, Buffer.concat([vector(Buffer.from([1]), 1), vector(Buffer.alloc(0), 2)])),
      handshake(types.serverHelloDone, Buffer.alloc(0)),
    ].map((message) => this.#note(message));
    return record(recordTypes.handshake, Buffer.concat(answer));
  }

  #finish(flight: Buffer, suite: Suite): Buffer {
    const records = recordsIn(flight);
    const clear = handshakesIn(record(recordTypes.handshake, Buffer.concat(records.filter(({ type }) => type === recordTypes.handshake).slice(0, -1).map(({ body }) => body))));
    const sealed = records.at(-1);
    if (sealed?.type !== recordTypes.handshake || !records.some(({ type }) => type === recordTypes.changeCipherSpec)) throw new Error('no Finished');
    const certificate = new X509Certificate(bodyOf(this.#note(find(clear, types.certificate))).subarray(6));
    const exchange = bodyOf(this.#note(find(clear, types.clientKeyExchange)));
    const preMaster = unpadded(privateDecrypt({ key: this.#privateKey, padding: constants.RSA_NO_PADDING }, exchange.subarray(2)));
    const master = prf(preMaster, 'master secret', [this.#clientRandom, this.#serverRandom], 48);
    const verify = find(clear, types.certificateVerify);
    const proof = publicDecrypt({ key: certificate.publicKey, padding: constants.RSA_PKCS1_PADDING }, bodyOf(verify).subarray(2));
    if (!proof.equals(this.#digest())) throw new Error('the client does not own its certificate');
    this.#note(verify);
    const block = prf(master, 'key expansion', [this.#serverRandom, this.#clientRandom], 2 * (suite.macBytes + keyBytes));
    const part = (at: number, length: number): Buffer => block.subarray(at, at + length);
    const [clientMac, serverMac] = [part(0, suite.macBytes), part(suite.macBytes, suite.macBytes)];
    const keysAt = 2 * suite.macBytes;
    const finished = unsealed(suite, clientMac, part(keysAt, keyBytes), sealed.body);
    if (!bodyOf(finished).equals(prf(master, 'client finished', [this.#digest()], 12))) throw new Error('the client finished another handshake');
    this.#note(finished);
    const answer = handshake(types.finished, prf(master, 'server finished', [this.#digest()], 12));
    const keys = prf(master, 'client EAP encryption', [this.#clientRandom, this.#serverRandom], 128);
    this.association = { clientKey: keys.subarray(64, 96), serverKey: keys.subarray(96, 128), hash: suite.hash, subject: certificate.subject };
    return Buffer.concat([record(recordTypes.changeCipherSpec, Buffer.from([1])), record(recordTypes.handshake, seal(suite, serverMac, part(keysAt + keyBytes, keyBytes), answer))]);
  }

  #note(message: Buffer | undefined): Buffer {
    if (message === undefined) throw new Error('a message is missing');
    this.#messages.push(message);
    return message;
  }

  /** MD5 and SHA-1 of all messages so far (RFC 2246 section 7.4.8). */
  #digest(): Buffer {
    const all = Buffer.concat(this.#messages);
    return Buffer.concat([createHash('md5').update(all).digest(), createHash('sha1').update(all).digest()]);
  }
}

/** The signature of a message's signing text, hex. */
export function signature(association: Association, side: 'client' | 'server', text: string): string {
  return createHmac(association.hash, side === 'client' ? association.clientKey : association.serverKey).update(text, 'latin1').digest('hex');
}

/** RFC 2246 section 5. */
function prf(secret: Buffer, label: string, seeds: readonly Buffer[], length: number): Buffer {
  const half = Math.ceil(secret.length / 2);
  const seed = Buffer.concat([Buffer.from(label), ...seeds]);
  const md5 = expand('md5', secret.subarray(0, half), seed, length);
  const sha1 = expand('sha1', secret.subarray(secret.length - half), seed, length);
  return Buffer.from(md5.map((byte, index) => byte ^ (sha1[index] ?? 0)));
}

function expand(hash: string, secret: Buffer, seed: Buffer, length: number): Buffer {
  const mac = (bytes: Buffer): Buffer => createHmac(hash, secret).update(bytes).digest();
  const pieces: Buffer[] = [];
  for (let chain = mac(seed), have = 0; have < length; chain = mac(chain)) {
    const piece = mac(Buffer.concat([chain, seed]));
    pieces.push(piece);
    have += piece.length;
  }
  return Buffer.concat(pieces).subarray(0, length);
}

function unsealed(suite: Suite, macKey: Buffer, key: Buffer, body: Buffer): Buffer {
  const plain = rc4(key, body);
  const message = plain.subarray(0, plain.length - suite.macBytes);
  if (!plain.subarray(message.length).equals(macOf(suite, macKey, message))) throw new Error('a record was changed');
  return message;
}

function seal(suite: Suite, macKey: Buffer, key: Buffer, message: Buffer): Buffer {
  return rc4(key, Buffer.concat([message, macOf(suite, macKey, message)]));
}

/** The first record of either side: sequence number 0. */
function macOf(suite: Suite, key: Buffer, message: Buffer): Buffer {
  const head = Buffer.concat([Buffer.alloc(8), Buffer.from([recordTypes.handshake]), tls10, uint(message.length, 2)]);
  return createHmac(suite.hash, key).update(head).update(message).digest();
}

function rc4(key: Buffer, bytes: Buffer): Buffer {
  const state = Uint8Array.from({ length: 256 }, (_, index) => index);
  const at = (index: number): number => state[index & 255] ?? 0;
  const swap = (a: number, b: number): void => {
    [state[a & 255], state[b & 255]] = [at(b), at(a)];
  };
  for (let i = 0, j = 0; i < 256; i += 1) {
    j = (j + at(i) + (key[i % key.length] ?? 0)) & 255;
    swap(i, j);
  }
  let [i, j] = [0, 0];
  return Buffer.from(bytes.map((byte) => {
    i = (i + 1) & 255;
    j = (j + at(i)) & 255;
    swap(i, j);
    return byte ^ at(at(i) + at(j));
  }));
}

/** PKCS #1 1.5: `00 02 nonzero... 00 secret`. */
function unpadded(block: Buffer): Buffer {
  const end = block.indexOf(0, 2);
  if (block[1] !== 2 || end < 0) throw new Error('no padded secret');
  return block.subarray(end + 1);
}

function recordsIn(bytes: Buffer): { readonly type: number; readonly body: Buffer }[] {
  const records: { type: number; body: Buffer }[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 3);
    records.push({ type: bytes.readUInt8(at), body: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return records;
}

/** Whole handshake messages, headers included, of a flight's handshake records. */
function handshakesIn(flight: Buffer): Buffer[] {
  const bytes = Buffer.concat(recordsIn(flight).filter(({ type }) => type === recordTypes.handshake).map(({ body }) => body));
  const messages: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUIntBE(at + 1, 3);
    messages.push(bytes.subarray(at, end));
    at = end;
  }
  return messages;
}

function find(messages: readonly Buffer[], type: number): Buffer {
  const found = messages.find((message) => message[0] === type);
  if (found === undefined) throw new Error(`no handshake message of type ${type}`);
  return found;
}

function bodyOf(message: Buffer): Buffer {
  return message.subarray(4);
}

function record(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), tls10, vector(body, 2)]);
}

function handshake(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(body, 3)]);
}

function vector(body: Buffer, lengthBytes: number): Buffer {
  return Buffer.concat([uint(body.length, lengthBytes), body]);
}

function uint(value: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
}
