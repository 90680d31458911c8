// Web clients of the lab: curl and Python's ssl, each trusting exactly the CA file it is given.

import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RunResult } from '../../../support/program.ts';
import type { Host } from '../host.ts';
import { address, type ServerName } from '../names.ts';

export interface WebRequest {
  readonly server: ServerName;
  readonly caFile: string;
  /** Default `/`. */
  readonly path?: string;
  /** Default 443. */
  readonly port?: number;
  /** What curl offers by ALPN; default HTTP/1.1 alone. */
  readonly http?: '1.1' | '2';
}

export interface CurlResult extends RunResult {
  /** SHA-256 of the body in hex. */
  readonly hash: string;
  readonly facts: { readonly status: number; readonly version: string; readonly remoteIp: string };
}

let count = 0;

/** One request by curl; `stdout` is the body. `more` goes to curl as it is. */
export async function curl(host: Host, { server, caFile, path = '/', port = 443, http = '1.1', more = [] }: WebRequest & { readonly more?: readonly string[] }): Promise<CurlResult> {
  count += 1;
  const body = join(host.folder, `body-${count}`);
  const url = `https://${address(server).name}:${port}${path}`;
  const written = '%{http_code} %{http_version} %{remote_ip}';
  const result = await host.run(['curl', '-sS', '-m', '60', http === '2' ? '--http2' : '--http1.1', '--cacert', caFile, '--capath', '/nonexistent', '-o', body, '-w', written, ...more, url], { timeoutMs: 70_000 });
  const [status = '0', version = '', remoteIp = ''] = result.stdout.split(' ');
  const bytes = readOrEmpty(body);
  return {
    ...result,
    stdout: bytes.length < 1_000_000 ? bytes.toString('utf8') : '',
    hash: createHash('sha256').update(bytes).digest('hex'),
    facts: { status: Number(status), version, remoteIp },
  };
}

const pythonProgram = `
import json, socket, ssl, sys
want = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=want["caFile"])
if want["strict"]: context.verify_flags |= ssl.VERIFY_X509_STRICT
if want["version"]: context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, want["version"])
with socket.create_connection((want["host"], want["port"]), timeout=20) as tcp:
    with context.wrap_socket(tcp, server_hostname=want["host"]) as tls:
        tls.sendall(("GET %s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n" % (want["path"], want["host"])).encode())
        answer = b""
        while True:
            piece = tls.recv(65536)
            if not piece: break
            answer += piece
        print(json.dumps({"version": tls.version(), "head": answer.split(b"\\r\\n\\r\\n")[0].decode(), "body": answer.split(b"\\r\\n\\r\\n", 1)[1].decode()}))
`;

/** One request by Python's ssl with its default context, strict (VERIFY_X509_STRICT, the default from Python 3.13 on) if wanted. */
export function python(host: Host, request: WebRequest & { readonly strict: boolean; readonly version?: 'TLSv1_2' | 'TLSv1_3' }): Promise<RunResult> {
  const { server, caFile, path = '/', port = 443, strict, version = null } = request;
  return host.run(['python3', '-c', pythonProgram, JSON.stringify({ host: address(server).name, caFile, path, port, strict, version })]);
}

function readOrEmpty(file: string): Buffer {
  try {
    const bytes = readFileSync(file);
    rmSync(file);
    return bytes;
  } catch {
    return Buffer.alloc(0);
  }
}
