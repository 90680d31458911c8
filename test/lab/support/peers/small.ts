// Starts the lab's small servers (peers/servers.ts) and clients (peers/talk.ts) in their hosts.

import { join } from 'node:path';
import type { Program } from '../../../support/program.ts';
import { describeResult } from '../../../support/program.ts';
import type { ConnectionRecord, ServerSpec } from '../../peers/servers.ts';
import type { Talk, TalkResult } from '../../peers/talk.ts';
import type { CertFiles } from '../certificates.ts';
import type { Host } from '../host.ts';
import { address } from '../names.ts';

const folder = join(import.meta.dirname, '../../peers');

/** What the servers that speak first say. */
export const banners = { smtp: '220 smtp.lab.test ESMTP lab\r\n', ssh: 'SSH-2.0-LabServer_1.0\r\n', inside: '100 speaking first inside TLS\r\n' } as const;

export class SmallServers {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  /** Records of connections that have ended, oldest first; waits until there are `count` of `name`. */
  async records(name: string, count: number, timeoutMs = 10_000): Promise<ConnectionRecord[]> {
    const found = (): ConnectionRecord[] => this.#lines().filter((record) => record.name === name);
    await this.#program.waitUntil(() => found().length >= count, `tell of ${count} connections to ${name}`, timeoutMs);
    return found();
  }

  #lines(): ConnectionRecord[] {
    return this.#program.output().split('\n').filter((line) => line.startsWith('{')).map((line): ConnectionRecord => JSON.parse(line));
  }
}

/** The usual set: echo, banners, silence and refusals, each on 443 of its address unless its name says otherwise. */
export async function startSmallServers(host: Host, tls: CertFiles): Promise<SmallServers> {
  const v4 = (server: Parameters<typeof address>[0]): string => address(server).v4;
  const specs: ServerSpec[] = [
    { name: 'tls-echo', host: v4('echo'), port: 443, kind: 'echo', ...tls },
    { name: 'tls-echo-5061', host: v4('echo'), port: 5061, kind: 'echo', ...tls },
    { name: 'echo-80', host: v4('echo'), port: 80, kind: 'echo' },
    { name: 'tls-banner', host: v4('echo'), port: 4443, kind: 'banner', text: banners.inside, ...tls },
    { name: 'smtp', host: v4('smtp'), port: 443, kind: 'banner', text: banners.smtp },
    { name: 'ssh', host: v4('ssh'), port: 443, kind: 'banner', text: banners.ssh },
    { name: 'plain-echo', host: v4('plain'), port: 443, kind: 'echo' },
    { name: 'refuses-tls', host: v4('plain'), port: 5061, kind: 'refuses-tls' },
    { name: 'alerts', host: v4('silent'), port: 5061, kind: 'alerts' },
    { name: 'resets', host: v4('silent'), port: 4443, kind: 'resets' },
    { name: 'silent', host: v4('silent'), port: 443, kind: 'silent' },
  ];
  return await startServers(host, specs);
}

/** Exactly these servers. */
export async function startServers(host: Host, specs: readonly ServerSpec[]): Promise<SmallServers> {
  const command = [process.execPath, join(folder, 'servers.ts'), JSON.stringify(specs)];
  return new SmallServers(await host.spawn('small-servers', command, { says: /^ready$/m, readyMs: 20_000 }));
}

/** Runs one conversation from the host; throws only when the client itself breaks. */
export async function talk(host: Host, plan: Talk): Promise<TalkResult> {
  const result = await host.run([process.execPath, join(folder, 'talk.ts'), JSON.stringify(plan)], { timeoutMs: (plan.timeoutMs ?? 15_000) + (plan.holdMs ?? 0) + 10_000 });
  if (result.code !== 0) throw new Error(`talk to ${plan.host}:${plan.port} broke: ${describeResult(result)}`);
  const answer: TalkResult = JSON.parse(result.stdout);
  return answer;
}
