// The schema of the whole config, the only source of its types, its JSON Schema and docs/config.md. It judges values; names
// that point at each other (services in rules, issuers) are judged by names.ts, files by whoever reads them.

import { z } from 'zod';
import { revocationModes } from '../core/certificates.ts';
import { limitNames, limitsWith, limitTable } from '../core/limits.ts';
import type { LimitName, Limits } from '../core/limits.ts';
import { bareHost, detectWord, dnsServer, duration, fileName, hostPattern, listenAddress, network, oneOrMany, serverAddress, shortName, tlsVersion, tunnelOnError } from './parts.ts';
import { policySchema } from './policy-schema.ts';

const minute = 60_000;
const day = 24 * 60 * minute;

/** One row of core/limits.ts: whole numbers in the row's unit, within its bounds; milliseconds also as text such as `10m`. */
function limitRow(name: LimitName) {
  const { unit, min, max, why } = limitTable[name];
  const value = unit === 'ms' ? duration(min, max) : z.int().min(min).max(max);
  return value.optional().describe(why);
}

const limitKeys = Object.fromEntries(limitNames.map((name) => [name, limitRow(name)])) as Record<LimitName, ReturnType<typeof limitRow>>;
const limitOverrides = z.strictObject(limitKeys);

/** Overrides without the keys that were left out. */
function present(overrides: z.output<typeof limitOverrides>): Partial<Record<LimitName, number>> {
  const given: Partial<Record<LimitName, number>> = {};
  for (const name of limitNames) {
    const value = overrides[name];
    if (value !== undefined) given[name] = value;
  }
  return given;
}

const clientTls = z.strictObject({ minVersion: tlsVersion.optional().describe('Lowest TLS version a client may speak; TLSv1 for old phones. A hello below it fails with NO_COMMON_TLS before any dial.') });

const serviceSchema = z
  .strictObject({
    name: shortName.describe('Shown in sessions, metrics and filters; `service` in rules means it.'),
    type: z.enum(['ssl', 'http', 'http-explicit', 'socks', 'tcp-tunnel']).describe('ssl: transparent TLS; http: transparent HTTP; http-explicit: HTTP proxy; socks: SOCKS 4, 4a and 5; tcp-tunnel: any TCP, transparent or to a fixed server.'),
    listen: listenAddress.describe('Address and port; `[::]` is dual stack.'),
    acquire: z.enum(['redirect', 'tproxy']).optional().describe('How connections come to a transparent service: nftables REDIRECT or TPROXY. Default redirect.'),
    to: serverAddress.optional().describe('tcp-tunnel only: the fixed server, instead of acquire.'),
    source: z.enum(['gateway', 'client']).default('gateway').describe('Transparent services: whose address servers see. client: the client\'s own; needs CAP_NET_ADMIN, and the servers\' answers must come back through this machine (`sallyport net apply` takes them in). The address is the client\'s, the port is one the gateway picks: it may be one that the client itself uses towards the same server on a way past the gateway, where answers would then be mixed up, so send all of a client\'s traffic to such servers through it.'),
    detectProtocol: z.union([z.boolean(), z.array(detectWord)]).default(true).describe('Which protocols to look for: all, none, or a list of names and groups. On an ssl service TLS itself, on an http service HTTP itself, is known by type.'),
    proxyProtocol: z.array(network).default([]).describe('Senders that begin each connection with a PROXY protocol header (v1 or v2); from anyone else such a header is not looked for.'),
    tunnelOnError: tunnelOnError.optional().describe('Errors that turn into a tunnel, for this service. A rule\'s goes first; default: the top-level tunnelOnError.'),
    auth: z
      .strictObject({
        users: fileName.describe('File of users, `name:hash` a line, relative to the config file.'),
        realm: z.string().min(1).max(64).default('Sallyport').describe('Shown by clients when they ask for a password.'),
      })
      .optional()
      .describe('http-explicit and socks: who may use the service. Absent: anyone who reaches it.'),
    userMap: fileName.optional().describe('File of users by address for services without auth, `ADDRESS-OR-NETWORK NAME` a line, relative to the config file: `user` in rules and sessions. The longest prefix counts; read again when it changes.'),
    via: z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, 'expected a word such as a host name').optional().describe('http-explicit only: name put into Via of plain requests and their responses (RFC 9110 section 7.6.3). Absent: no Via.'),
    limits: limitOverrides.optional().transform((overrides) => present(overrides ?? {})).describe('Limits of this service, over the top-level ones.'),
    clientTls: clientTls.default({}).describe('TLS towards clients of this service; an ssl rule\'s goes first. Default minVersion TLSv1.2.'),
    intercept: z
      .strictObject({
        ports: oneOrMany(z.int().min(1).max(65_535)).optional().describe('Destination ports to take. Default: the ports of its type.'),
        interfaces: oneOrMany(z.string().regex(/^[^\s/"]{1,15}$/, 'expected an interface name of at most 15 characters')).optional().describe('Interfaces on which clients arrive. Default: all.'),
        clients: oneOrMany(network).optional().describe('Client networks to take. Default: all.'),
        except: oneOrMany(network).optional().describe('Destination networks to leave alone.'),
      })
      .optional()
      .describe('Transparent services: which traffic `sallyport net apply` sends here.'),
  })
  .superRefine((service, context) => {
    const explicit = service.type === 'http-explicit' || service.type === 'socks';
    const fault = (key: string, message: string): void => context.addIssue({ code: 'custom', path: [key], message });
    if (service.acquire !== undefined && explicit) fault('acquire', `a ${service.type} service is not transparent: its clients name their destination`);
    if (service.to !== undefined && service.type !== 'tcp-tunnel') fault('to', 'only a tcp-tunnel service has a fixed server');
    if (service.to !== undefined && service.acquire !== undefined) fault('acquire', 'a service with `to` has a fixed server: leave one of the two out');
    if (service.source === 'client' && (explicit || service.to !== undefined)) fault('source', 'only a transparent service (acquire: redirect or tproxy) can dial from its clients\' addresses');
    if (service.auth !== undefined && !explicit) fault('auth', `clients of a ${service.type} service cannot be asked for a password`);
    if (service.auth !== undefined && service.userMap !== undefined) fault('userMap', 'a service with auth knows its users: leave one of the two out');
    if (service.via !== undefined && service.type !== 'http-explicit') fault('via', 'only an http-explicit service re-issues requests');
    if (service.intercept !== undefined && (explicit || service.to !== undefined)) fault('intercept', 'only transparent services take traffic');
  })
  .transform((service) => ({
    ...service,
    /** Null for services that are not transparent. */
    acquire: service.type === 'http-explicit' || service.type === 'socks' || service.to !== undefined ? null : (service.acquire ?? 'redirect'),
    to: service.to ?? null,
    auth: service.auth ?? null,
    userMap: service.userMap ?? null,
    via: service.via ?? null,
    intercept: service.intercept ?? null,
  }));

const keyPair = { cert: fileName.describe('Certificate file, PEM.'), key: fileName.describe('Key file, PEM.') };

const passphraseFile = fileName.optional().describe('File whose first line is the passphrase of an encrypted key, relative to the config file; nobody but its owner may read it.');

const issuerSchema = z.strictObject({
  cert: fileName.default('ca.pem').describe('The CA certificate, PEM, relative to `state`; made on first run when absent.'),
  key: fileName.default('ca.key').describe('Its key, PEM, relative to `state`.'),
  passphraseFile,
  leafKey: z.enum(['auto', 'rsa', 'ec']).default('auto').describe('Keys of emulated certificates. auto: P-256, RSA 2048 where the ClientHello cannot verify it.'),
  crl: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Put a CRL distribution point into every emulated certificate, and serve the CRL.'),
      host: z.union([z.literal('auto'), oneOrMany(bareHost)]).prefault('auto').describe('Host of the distribution point, host[:port] without scheme and path; several are several addresses of one distribution point, tried in turn (Java gives up at the first dead of several points). auto: the address clients reach this gateway by, with the listener\'s port.'),
      days: z.int().min(1).max(365).default(30).describe('Days a CRL is valid; it is signed anew every day.'),
      listen: listenAddress.prefault('[::]:9080').describe('Listener for CRL, OCSP and the CA certificate.'),
    })
    .prefault({})
    .describe('The certificate revocation list of emulated certificates.'),
  ocsp: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Put an OCSP responder into every emulated certificate, and answer.'),
      staple: z.boolean().default(true).describe('Staple the answer in the handshake when the client asks for it.'),
    })
    .prefault({})
    .describe('The OCSP responder of emulated certificates.'),
});

const proxyUrl = z.string().refine(isProxyUrl, 'expected http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before the host where needed').meta({ title: 'URL' });

function isProxyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, port: urlPort, pathname, search } = new URL(text);
  return (protocol === 'http:' || protocol === 'socks5:') && hostname !== '' && (urlPort !== '' || protocol === 'http:') && (pathname === '' || pathname === '/') && search === '';
}

const upstreamSchema = z.strictObject({
  ca: z.union([z.enum(['system', 'none']), fileName]).default('system').describe('Roots that servers are checked against: system, none (extraCa alone), or a PEM file.'),
  extraCa: z.array(fileName).default([]).describe('PEM files of further roots, relative to the config file.'),
  minVersion: tlsVersion.default('TLSv1.2').describe('Lowest TLS version spoken with servers.'),
  revocation: z.enum(revocationModes).default('soft').describe('Whether servers\' certificates are checked for revocation (stapled OCSP, OCSP, CRL). soft: a revoked one has the problem `revoked`; hard: one whose state cannot be learned has `revocation-unknown` too; off: neither. An ssl rule\'s goes first.'),
  clientCerts: z
    .array(z.strictObject({ host: oneOrMany(hostPattern).describe('Servers that are shown this certificate.'), ...keyPair }))
    .default([])
    .describe('Client certificates the gateway may show to servers.'),
  proxy: proxyUrl.nullable().default(null).describe('Proxy for every connection to servers: http://HOST:PORT or socks5://HOST:PORT.'),
  dns: z.array(dnsServer).default([]).describe('Name servers. Default: the system\'s.'),
  allowLocal: z.boolean().default(false).describe('Let clients of explicit services reach the gateway\'s own addresses (never its own listeners).'),
});

const listenerFile = (what: string) => z.union([z.literal('off'), fileName]).default('off').describe(what);

/** The whole config. */
export const configSchema = z.strictObject({
  state: fileName.default('/var/lib/sallyport').describe('Folder of what must survive: CA, CRL number, issued certificates, learned bypasses, closed sessions. Relative to the config file.'),
  workers: z.union([z.literal('auto'), z.int().min(0).max(256)]).default('auto').describe('Worker processes; auto is one a core, 0 is everything in one process.'),
  tunnelOnError: tunnelOnError.default(false).describe('Errors that turn into a tunnel where neither rule nor service says anything.'),
  admin: z
    .strictObject({
      listen: listenAddress.prefault('127.0.0.1:9090').describe('Admin API and console. Loopback needs no token to read; any other address does.'),
      tokenFile: fileName.default('admin.token').describe('File of the token, relative to `state`; made on first run.'),
      readTokenFile: fileName.default('read.token').describe('File of a token that may only read, for dashboards and scrapers, relative to `state`; made on first run.'),
    })
    .prefault({})
    .describe('The admin API and console.'),
  issuer: issuerSchema.prefault({}).describe('The CA that signs emulated certificates.'),
  issuers: z.record(shortName, z.strictObject({ ...keyPair, passphraseFile })).default({}).describe('Further CAs by name, for `issuer` of ssl rules; files relative to the config file.'),
  services: z.array(serviceSchema).min(1, 'at least one service is needed').describe('What the gateway listens on.'),
  policy: policySchema.prefault({}).describe('Rules by stage; in each the first that matches decides.'),
  learned: z
    .strictObject({
      enabled: z.boolean().default(false).describe('Tunnel for clients that keep refusing the emulated certificate.'),
      failures: z.int().min(1).max(1000).default(3).describe('Refusals needed, of one client and name.'),
      within: duration(1000, 7 * day).prefault('10m').describe('Time in which they must happen.'),
      ttl: duration(minute, 365 * day).prefault('12h').describe('How long a learned bypass holds.'),
    })
    .prefault({})
    .describe('Learned bypasses.'),
  upstream: upstreamSchema.prefault({}).describe('Connections to servers.'),
  logging: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info').describe('Lowest level logged to standard error.'),
      access: listenerFile('File of one JSON line a session, relative to `state`; off for none.'),
      requests: listenerFile('File of one JSON line an HTTP request (method, host, path without query, status, bytes, time), relative to `state`; off for none.'),
    })
    .prefault({})
    .describe('Logs.'),
  capture: z
    .strictObject({
      keylog: listenerFile('File of TLS secrets (NSS key log) of both sides, relative to `state`. Whoever reads it reads the traffic.'),
      pcap: listenerFile('Folder of decrypted captures, relative to `state`.'),
    })
    .prefault({})
    .describe('Captures for fault finding.'),
  limits: limitOverrides.prefault({}).transform((overrides): Limits => limitsWith(present(overrides))).describe('Bounds and waits; see the table below.'),
}).superRefine(({ services, upstream }, context) => {
  if (upstream.proxy === null) return;
  for (const [index, { source }] of services.entries()) {
    if (source === 'client') context.addIssue({ code: 'custom', path: ['services', index, 'source'], message: 'with upstream.proxy, servers see the proxy: leave one of the two out' });
  }
});

/** The config, fully defaulted: what the gateway works with. Durations are milliseconds, addresses { host, port }. */
export type Config = z.output<typeof configSchema>;
export type ServiceConfig = Config['services'][number];
export type PolicyConfig = Config['policy'];
/** What may be written. */
export type ConfigInput = z.input<typeof configSchema>;

/** The JSON Schema (draft 2020-12) of what may be written; `ref` shares parts that occur twice, `inline` is easier to walk. */
export function configJsonSchema(reused: 'inline' | 'ref' = 'inline'): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12', reused });
}
