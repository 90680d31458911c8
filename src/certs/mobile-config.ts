// The CA certificate as a configuration profile for Apple devices. Unsigned: the user confirms it, and on iOS must switch on full trust.

import { createHash } from 'node:crypto';
import type { Issuer } from './authority.ts';

/** An Apple configuration profile (XML property list) with one root certificate; the same bytes for the same CA. */
export function mobileConfig(issuer: Issuer): string {
  const name = issuer.certificate.subject.split('\n').find((line) => line.startsWith('CN='))?.slice(3) ?? 'CA';
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadContent</key><array><dict>
<key>PayloadCertificateFileName</key><string>ca.cer</string>
<key>PayloadContent</key><data>${issuer.certDer.toString('base64')}</data>
<key>PayloadDisplayName</key><string>${escape(name)}</string>
<key>PayloadIdentifier</key><string>sallyport.ca.${issuer.keyIdHex}.root</string>
<key>PayloadType</key><string>com.apple.security.root</string>
<key>PayloadUUID</key><string>${uuid(issuer, 'root')}</string>
<key>PayloadVersion</key><integer>1</integer>
</dict></array>
<key>PayloadDisplayName</key><string>${escape(name)}</string>
<key>PayloadIdentifier</key><string>sallyport.ca.${issuer.keyIdHex}</string>
<key>PayloadType</key><string>Configuration</string>
<key>PayloadUUID</key><string>${uuid(issuer, 'profile')}</string>
<key>PayloadVersion</key><integer>1</integer>
</dict></plist>
`;
}

const escape = (text: string): string => text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** A UUID of version 8 (RFC 9562) from the certificate, so that installing twice replaces. */
function uuid(issuer: Issuer, part: string): string {
  const hash = createHash('sha256').update(issuer.certDer).update(part).digest();
  hash[6] = 0x80 | ((hash[6] ?? 0) & 0x0f);
  hash[8] = 0x80 | ((hash[8] ?? 0) & 0x3f);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5').toUpperCase();
}
