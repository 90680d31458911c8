// The web services of a small Skype for Business deployment, as much as a client needs to sign in: autodiscovery (MS-OCDISCWS), web
// tickets and certificate provisioning (MS-OCAUTHWS). Tickets are given to everybody; what is asked for is checked and kept.

import type { IncomingMessage, ServerResponse } from 'node:http';
import forge from 'node-forge';

export interface WebOptions {
  /** Names of the web services and of the SIP server, and the port that the latter says it has inside. */
  readonly webHost: string;
  readonly sipHost: string;
  readonly sipPorts: { readonly internal: number; readonly external: number };
  /** PEM: who signs the users' certificates. */
  readonly certificate: string;
  readonly privateKey: string;
}

/** Every request, by scheme, host and path. */
export type WebLog = (line: { readonly kind: 'web'; readonly scheme: string; readonly host: string; readonly method: string; readonly path: string; readonly status: number }) => void;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const discoverType = 'application/vnd.microsoft.rtc.autodiscover+xml; v=1';
const usedNames = { certificate: 'CertProvisioningServiceWebTicketProof_SHA1', ticket: 'WebTicketServiceWinNegotiate' } as const;

/** Handles one request of `http` or `https`. */
export async function serveWeb(options: WebOptions, scheme: 'http' | 'https', log: WebLog, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) if (Buffer.isBuffer(piece)) pieces.push(piece);
  const path = (request.url ?? '').replace(/\?.*/s, '');
  const answer = answerTo(options, path, Buffer.concat(pieces).toString());
  log({ kind: 'web', scheme, host: request.headers.host ?? '', method: request.method ?? '', path, status: answer.status });
  response.writeHead(answer.status, { 'Content-Type': answer.type, 'Content-Length': Buffer.byteLength(answer.body) });
  response.end(answer.body);
}

function answerTo(options: WebOptions, path: string, body: string): Answer {
  const base = `https://${options.webHost}`;
  const xml = (text: string): Answer => ({ status: 200, type: 'text/xml; charset=utf-8', body: `<?xml version="1.0" encoding="utf-8"?>${text}` });
  switch (path) {
    case '/':
      return { ...xml(`<AutodiscoverResponse AccessLocation="External"><Root><Link token="User" href="${base}/Autodiscover/AutodiscoverService.svc/root/user"/></Root></AutodiscoverResponse>`), type: discoverType };
    case '/Autodiscover/AutodiscoverService.svc/root/user': {
      const { internal, external } = options.sipPorts;
      const access = (place: string, port: number): string => `<SipClient${place}Access fqdn="${options.sipHost}" port="${port}"/>`;
      return { ...xml(`<AutodiscoverResponse><User>${access('Internal', internal)}${access('External', external)}</User></AutodiscoverResponse>`), type: discoverType };
    }
    case '/CertProv/CertProvisioningService.svc/mex':
      return xml(metadata(usedNames.certificate, `${base}/CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1`, `${base}/WebTicket/WebTicketService.svc`));
    case '/WebTicket/WebTicketService.svc/mex':
      return xml(metadata(usedNames.ticket, `${base}/WebTicket/WebTicketService.svc/Negotiate`, null));
    case '/WebTicket/WebTicketService.svc/Negotiate':
      return body.includes('RequestSecurityToken') ? xml(ticket()) : { status: 400, type: 'text/plain', body: 'no request for a token' };
    case '/CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1':
      return certificate(options, body);
    default:
      return { status: 404, type: 'text/plain', body: 'not here' };
  }
}

/** What clients read of a service's WSDL: its port, and where the policy says that tickets come from. */
function metadata(port: string, location: string, issuer: string | null): string {
  const policy = issuer === null ? '' : [
    `<wsp:Policy wsu:Id="${port}_policy"><wsp:ExactlyOne><wsp:All><sp:EndorsingSupportingTokens><wsp:Policy><sp:IssuedToken>`,
    `<Issuer><Address>${issuer}</Address></Issuer>`,
    '</sp:IssuedToken></wsp:Policy></sp:EndorsingSupportingTokens></wsp:All></wsp:ExactlyOne></wsp:Policy>',
  ].join('');
  const names = 'xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy" xmlns:sp="http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702" '
    + 'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"';
  return `<wsdl:definitions ${names}>${policy}<wsdl:service name="lab"><wsdl:port name="${port}"><soap:address location="${location}"/></wsdl:port></wsdl:service></wsdl:definitions>`;
}

function ticket(): string {
  const [from, until] = [new Date(), new Date(Date.now() + 3_600_000)].map((time) => time.toISOString());
  const lifetime = `<wsu:Created>${from}</wsu:Created><wsu:Expires>${until}</wsu:Expires>`;
  return envelope([
    '<RequestSecurityTokenResponseCollection xmlns="http://docs.oasis-open.org/ws-sx/ws-trust/200512"><RequestSecurityTokenResponse>',
    '<RequestedSecurityToken><saml:Assertion MajorVersion="1" MinorVersion="1" AssertionID="SamlSecurityToken-lab" Issuer="lab" xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"></saml:Assertion></RequestedSecurityToken>',
    `<Lifetime>${lifetime}</Lifetime><Entropy><BinarySecret>${Buffer.alloc(32, 7).toString('base64')}</BinarySecret></Entropy>`,
    '</RequestSecurityTokenResponse></RequestSecurityTokenResponseCollection>',
  ].join(''));
}

/** Signs the key of a PKCS #10 request whose own signature fits. */
function certificate({ certificate: issuerPem, privateKey }: WebOptions, body: string): Answer {
  const request = /<wsse:BinarySecurityToken[^>]*PKCS10[^>]*>\s*([A-Za-z0-9+/=\s]+)</.exec(body)?.[1];
  if (request === undefined) return { status: 400, type: 'text/plain', body: 'no certificate request' };
  const csr = forge.pki.certificationRequestFromPem(`-----BEGIN CERTIFICATE REQUEST-----\n${request.trim()}\n-----END CERTIFICATE REQUEST-----\n`);
  if (csr.publicKey === null || !csr.verify()) return { status: 400, type: 'text/plain', body: 'the request is not signed by its key' };
  const issued = forge.pki.createCertificate();
  issued.publicKey = csr.publicKey;
  issued.serialNumber = '01';
  issued.validity.notBefore = new Date(Date.now() - 3_600_000);
  issued.validity.notAfter = new Date(Date.now() + 86_400_000);
  issued.setSubject(csr.subject.attributes);
  issued.setIssuer(forge.pki.certificateFromPem(issuerPem).subject.attributes);
  issued.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  const der = forge.util.encode64(forge.asn1.toDer(forge.pki.certificateToAsn1(issued)).getBytes());
  const text = envelope([
    '<GetAndPublishCertResponse xmlns="http://schemas.microsoft.com/OCS/AuthWebServices/"><RequestSecurityTokenResponse><RequestedSecurityToken>',
    `<BinarySecurityToken>${der}</BinarySecurityToken></RequestedSecurityToken></RequestSecurityTokenResponse></GetAndPublishCertResponse>`,
  ].join(''));
  return { status: 200, type: 'text/xml; charset=utf-8', body: `<?xml version="1.0" encoding="utf-8"?>${text}` };
}

function envelope(body: string): string {
  const names = 'xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"';
  return `<s:Envelope ${names}><s:Body>${body}</s:Body></s:Envelope>`;
}
