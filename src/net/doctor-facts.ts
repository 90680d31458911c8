// Gathers what doctor.ts judges: /proc, the CA file, nft and ip, and bounded probes of the CRL, the name servers, UDP and servers. It changes
// nothing and never rejects: what cannot be learned is a fact too.

import { X509Certificate } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { request } from 'undici';
import { readNet } from './apply.ts';
import type { RunTool } from './apply.ts';
import type { CaFacts, DoctorFacts, DoctorWants, ReversePath } from './doctor.ts';
import { lookAtServer } from './server-probe.ts';
import { askStun } from './stun.ts';

/** A name that no one may own (RFC 6761): any answer to it proves that a name server answers. */
const probeName = 'sallyport-doctor.invalid';
const derSequence = 0x30;
const timesyncFolder = '/run/systemd/timesync';

/** All facts; probes run side by side, each within `probeMs` (limits.doctorProbeMs). */
export async function gatherFacts(wants: DoctorWants, run: RunTool, probeMs: number): Promise<DoctorFacts> {
  const [ipv4, ipv6, reversePaths, net, capabilities, ca, crl, dnsFault, stun, openFiles, servers] = await Promise.all([
    readSwitch('/proc/sys/net/ipv4/ip_forward'), readSwitch('/proc/sys/net/ipv6/conf/all/forwarding'), readReversePaths(), readNet(run),
    readCapabilities(), readCa(wants.caFile), Promise.all(wants.crlUrls.map((url) => probeCrl(url, probeMs))), probeDns(wants.dnsServers, probeMs),
    wants.stunServer === null ? null : askStun(wants.stunServer, probeMs), readOpenFiles(),
    Promise.all((wants.servers ?? []).map((server) => lookAtServer(server, probeMs))),
  ]);
  return {
    forwarding: { 4: ipv4, 6: ipv6 }, reversePaths, net, capabilities, ca, crl, dnsFault, stun, openFiles, servers,
    nowMs: Date.now(), clockSynchronised: existsSync(timesyncFolder) ? existsSync(`${timesyncFolder}/synchronized`) : null,
  };
}

async function textOf(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return null;
  }
}

async function readSwitch(file: string): Promise<boolean | null> {
  const text = await textOf(file);
  return text === null ? null : text.trim() !== '0';
}

/** The kernel takes the higher rp_filter, and either src_valid_mark, of `all` and the interface (ip-sysctl). */
async function readReversePaths(): Promise<ReversePath[]> {
  const folder = '/proc/sys/net/ipv4/conf';
  const value = async (name: string, key: string): Promise<number> => Number((await textOf(`${folder}/${name}/${key}`)) ?? 0);
  const names = await readdir(folder).catch(() => []);
  const [allFilter, allMark] = await Promise.all([value('all', 'rp_filter'), value('all', 'src_valid_mark')]);
  return Promise.all(names.filter((name) => name !== 'all' && name !== 'default').map(async (name) => ({
    interface: name,
    filter: Math.max(allFilter, await value(name, 'rp_filter')),
    validMark: allMark !== 0 || (await value(name, 'src_valid_mark')) !== 0,
  })));
}

async function readCapabilities(): Promise<bigint | null> {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec((await textOf('/proc/self/status')) ?? '');
  return match === null ? null : BigInt(`0x${match[1]}`);
}

async function readOpenFiles(): Promise<{ soft: number; hard: number } | null> {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec((await textOf('/proc/self/limits')) ?? '');
  if (match === null) return null;
  const [soft, hard] = match.slice(1).map((text) => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)));
  return soft === undefined || hard === undefined ? null : { soft, hard };
}

async function readCa(file: string): Promise<CaFacts> {
  try {
    const certificate = new X509Certificate(await readFile(file));
    return { state: 'read', isCa: certificate.ca, notBeforeMs: Date.parse(certificate.validFrom), notAfterMs: Date.parse(certificate.validTo) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { state: 'absent' };
    return { state: 'unreadable', fault: error instanceof Error ? error.message : String(error) };
  }
}

/** Fetches as clients do and looks whether DER comes back; the rest of the body is not read. */
async function probeCrl(url: string, waitMs: number): Promise<{ url: string; fault: string | null }> {
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(waitMs) });
    let first: number | undefined;
    for await (const chunk of body) {
      first = Buffer.isBuffer(chunk) ? chunk[0] : undefined;
      break;
    }
    if (statusCode !== 200) return { url, fault: `status ${statusCode}` };
    return { url, fault: first === derSequence ? null : 'the answer is no CRL in DER' };
  } catch (error) {
    return { url, fault: faultText(error) };
  }
}

async function probeDns(servers: readonly string[], waitMs: number): Promise<string | null> {
  const resolver = new Resolver({ timeout: waitMs, tries: 1 });
  const timer = setTimeout(() => resolver.cancel(), waitMs);
  try {
    if (servers.length > 0) resolver.setServers([...servers]);
    await resolver.resolve4(probeName);
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // "No such name" is an answer.
    if (code === 'ENOTFOUND' || code === 'ENODATA') return null;
    return code === 'ECANCELLED' || code === 'ETIMEOUT' ? 'no answer in time' : faultText(error);
  } finally {
    clearTimeout(timer);
  }
}

function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  return 'code' in error && typeof error.code === 'string' ? `${error.code}${error.message === '' ? '' : ` (${error.message})`}` : error.message;
}
