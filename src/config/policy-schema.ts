// The schema of `policy:`: rules of seven stages, each with the conditions whose facts are known there. It says what may be
// written; what a rule means is decided in src/policy.

import { z } from 'zod';
import { certificateProblems, revocationModes } from '../core/certificates.ts';
import { addressMatches } from '../core/session.ts';
import { destination, detectWord, fileName, hostPattern, network, oneOrMany, pattern, port, protocolWord, shortName, timeWindow, tlsVersion, tunnelOnError } from './parts.ts';

const conditionKeys = {
  client: oneOrMany(network).optional().describe('Client addresses and networks.'),
  destination: oneOrMany(destination).optional().describe('Destination addresses, networks, and patterns of the host asked for by name.'),
  port: oneOrMany(port).optional().describe('Destination ports and ranges (`"5060-5070"`).'),
  service: oneOrMany(shortName).optional().describe('Names of services.'),
  user: oneOrMany(pattern).optional().describe('User names; patterns with `*` and `?`.'),
  time: oneOrMany(timeWindow).optional().describe('Days and hours in the gateway\'s local time, judged at the session\'s start: `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`.'),
  sni: oneOrMany(hostPattern).optional().describe('Server names of the ClientHello. `*.x` is every name below x, `.x` is x and every name below it. A hello without a name matches no value: `not: { sni: "*" }` finds it.'),
  alpn: oneOrMany(pattern).optional().describe('ALPN names, one of which the client offers.'),
  ja4: oneOrMany(pattern).optional().describe('JA4 fingerprints of the ClientHello; patterns allowed.'),
  address: oneOrMany(z.enum(addressMatches)).optional().describe('How the name that the client claims (SNI, else the Host of its first request) relates to the address it dialled (the class of CVE-2009-0801). `named`: the address is one of the name\'s; `other`: it is none of them; `unresolved`: the name has no address that could be found within dnsMs. No name claimed: matches no value. In the http stage a request for another name than the connection\'s is `other` (with `status: 421` browsers that share connections come again on one of their own). Names are looked up only where a rule asks, by the gateway\'s resolver: it must give the answers that clients get, or honest clients of large sites are `other`.'),
  file: oneOrMany(fileName).optional().describe('Files with one name a line (`#` begins a comment); each name stands for itself and everything below it. Compared with the request\'s host in the http stage, elsewhere with the SNI, else with the host asked for.'),
  problem: oneOrMany(z.enum(certificateProblems)).optional().describe('What is wrong with the server\'s certificate. A rule that accepts matches only when every problem found is listed; any other when one is.'),
  name: oneOrMany(hostPattern).optional().describe('The name asked for: the SNI, else the destination\'s host.'),
  protocol: oneOrMany(protocolWord).optional().describe('Protocol names and groups (docs/protocols.md).'),
  tls: oneOrMany(z.enum(['intercepted', 'tunnelled', 'none'])).optional().describe('What became of TLS around the protocol: opened here, left closed, or none there.'),
  method: oneOrMany(pattern).optional().describe('Methods of HTTP or SIP requests.'),
  host: oneOrMany(hostPattern).optional().describe('The request\'s host, without port.'),
  path: oneOrMany(pattern).optional().describe('The request\'s path without query, with needless percent-escapes, dot segments and double slashes resolved; case counts.'),
  header: oneOrMany(pattern).optional().describe('Names of header fields that are present.'),
  upgrade: oneOrMany(pattern).optional().describe('Protocols of the Upgrade field, such as websocket.'),
  from: oneOrMany(pattern).optional().describe('SIP From addresses (`sip:user@host`).'),
  to: oneOrMany(pattern).optional().describe('SIP To addresses.'),
  agent: oneOrMany(pattern).optional().describe('SIP User-Agent texts.'),
  message: oneOrMany(pattern).optional().describe('TURN and STUN message types.'),
  peer: oneOrMany(network).optional().describe('TURN peer addresses and networks.'),
};

const commonKeys = pick('client', 'destination', 'port', 'service', 'user', 'time');
const helloKeys = { ...commonKeys, ...pick('sni', 'alpn', 'ja4', 'file') };

function pick<K extends keyof typeof conditionKeys>(...keys: readonly K[]): Pick<typeof conditionKeys, K> {
  return Object.fromEntries(keys.map((key) => [key, conditionKeys[key]])) as Pick<typeof conditionKeys, K>;
}

function when<T extends z.ZodRawShape>(keys: T) {
  const conditions = z.strictObject(keys);
  return z
    .strictObject({ ...keys, not: conditions.optional().describe('Conditions that must not all hold: the rule matches only when this does not.') })
    .optional()
    .describe('Conditions; all must hold. Each value may be a list of which one must hold. Absent: every flow.');
}

const name = shortName.optional().describe('Shown in sessions and logs as `stage/name`; without it, `stage/#index` from 0.');

const detect = z
  .strictObject({
    on: oneOrMany(detectWord).optional().describe('Protocols to look for although the service\'s detectProtocol leaves them out.'),
    off: oneOrMany(detectWord).optional().describe('Protocols not to look for; wins over `on`. `tls` off leaves all TLS closed, whatever is inside.'),
  })
  .optional();

const tunnelOnErrorKey = tunnelOnError.optional().describe('Errors that turn into a tunnel while the client is unanswered: true, false, or a list of codes. Over the service\'s and the default.');

const connectionRule = z.strictObject({
  name,
  when: when(commonKeys),
  then: z.enum(['allow', 'deny', 'tunnel']).describe('allow: look at it; deny: refuse; tunnel: pass every byte unseen.'),
  detect: detect.describe('Switches detection before any byte is judged.'),
  tunnelOnError: tunnelOnErrorKey,
  serverFirst: z.boolean().optional().describe('The server speaks first here: dial at once and wait for no detection timer.'),
});

const sslRule = z.strictObject({
  name,
  when: when({ ...helloKeys, ...pick('address') }),
  then: z.enum(['intercept', 'tunnel', 'deny', 'intercept-on-exception']).describe('intercept: open TLS; tunnel: leave it closed; deny: refuse; intercept-on-exception: tunnel, but open TLS to show an error page when the server\'s certificate is bad.'),
  handoff: z.boolean().default(true).describe('Hand what is inside to its protocol\'s handler (SSL interception with proxy handoff). false: relay it decrypted without looking (STunnel interception).'),
  tunnelOnError: tunnelOnErrorKey,
  clientCert: z.enum(['tunnel', 'continue', 'deny']).optional().describe('When the server wants a client certificate. tunnel: adds UPSTREAM_WANTS_CLIENT_CERT to tunnelOnError; continue and deny take it and UPSTREAM_OFFERS_CLIENT_CERT out. Default: tunnel when tunnelOnError has one of them, else continue.'),
  detect: detect.describe('Switches detection inside TLS.'),
  clientTls: z.strictObject({ minVersion: tlsVersion.optional().describe('Lowest TLS version a client may speak.') }).optional().describe('TLS towards clients, over the service\'s.'),
  issuer: shortName.optional().describe('Name of one of `issuers` that signs instead of `issuer`.'),
  learned: z.boolean().optional().describe('false: what clients refuse here never becomes a bypass (see `learned`).'),
  revocation: z.enum(revocationModes).optional().describe('Revocation checks of the server\'s certificate, over `upstream.revocation`.'),
});

const certificateRule = z
  .strictObject({
    name,
    when: when({ ...helloKeys, ...pick('address', 'problem', 'name') }),
    then: z.enum(['deny', 'mirror-untrusted', 'accept', 'tunnel']).describe('deny: refuse with the reason; mirror-untrusted: show the client a certificate with the same defect from an issuer it does not trust; accept: as if it were good; tunnel: let the client judge. `invalid` allows only deny and tunnel.'),
  })
  .refine((rule) => !(rule.when?.problem?.includes('invalid') === true && (rule.then === 'accept' || rule.then === 'mirror-untrusted')), { path: ['when', 'problem'], error: '`invalid` allows only deny or tunnel' });

const protocolRule = z.strictObject({
  name,
  when: when({ ...helloKeys, ...pick('address', 'protocol', 'tls') }),
  then: z.enum(['handoff', 'relay', 'deny']).describe('handoff: to the protocol\'s handler (relay when there is none); relay: pass the bytes unparsed; deny: refuse.'),
});

const allowOrDeny = z.enum(['allow', 'deny']).describe('allow: let it pass; deny: refuse in the words of the protocol.');
const httpRule = z.strictObject({
  name,
  when: when({ ...helloKeys, ...pick('address', 'protocol', 'method', 'host', 'path', 'header', 'upgrade') }),
  then: allowOrDeny,
  status: z.int().min(400).max(599).optional().describe('Status of the refusal. Default 403.'),
});
const sipRule = z.strictObject({
  name,
  when: when({ ...helloKeys, ...pick('protocol', 'method', 'from', 'to', 'agent') }),
  then: allowOrDeny,
  status: z.int().min(400).max(699).optional().describe('Status of the refusal. Default 403.'),
});
const turnRule = z.strictObject({ name, when: when({ ...helloKeys, ...pick('protocol', 'message', 'peer') }), then: allowOrDeny });

/** The whole of `policy:`. */
export const policySchema = z.strictObject({
  connection: z.array(connectionRule).default([]).describe('Judged when a connection was accepted, before any byte. No rule matched: allow.'),
  ssl: z.array(sslRule).default([]).describe('Judged when a ClientHello was read. No rule matched: tunnel.'),
  certificate: z.array(certificateRule).default([]).describe('Judged when the server\'s certificate has a problem. No rule matched: deny.'),
  protocol: z.array(protocolRule).default([]).describe('Judged each time a protocol was told, or none, on every layer. No rule matched: handoff if known, else relay.'),
  http: z.array(httpRule).default([]).describe('Judged for every HTTP request. No rule matched: allow.'),
  sip: z.array(sipRule).default([]).describe('Judged for every SIP request. No rule matched: allow.'),
  turn: z.array(turnRule).default([]).describe('Judged for every TURN message and peer. No rule matched: allow.'),
});
