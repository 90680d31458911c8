// The issuer page: the CA certificate and how to trust it on each system, its CRL and OCSP, and revoking.

import { ask } from './api.js';
import { DataView } from './data-view.js';
import { html, useEffect, useRef, useState } from './html.js';

const systems = [
  { name: 'Windows', file: '/ca.der', steps: ['Open the file, choose Install Certificate, Local Machine, “Trusted Root Certification Authorities”.', 'For a domain: Group Policy, Computer Configuration, Public Key Policies.', 'certutil -addstore -f Root sallyport-ca.cer'] },
  { name: 'macOS', file: '/ca.mobileconfig', steps: ['Open the profile and install it in System Settings, Privacy & Security, Profiles.', 'sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain sallyport-ca.pem'] },
  { name: 'iOS and iPadOS', file: '/ca.mobileconfig', steps: ['Open the profile in Safari and install it in Settings.', 'Then switch it on in Settings, General, About, Certificate Trust Settings.'] },
  { name: 'Android', file: '/ca.der', steps: ['Settings, Security, Encryption & credentials, Install a certificate, CA certificate.', 'Apps trust it only when they allow user certificates.'] },
  { name: 'Debian and Ubuntu', file: '/ca.pem', steps: ['sudo cp sallyport-ca.pem /usr/local/share/ca-certificates/sallyport-ca.crt', 'sudo update-ca-certificates'] },
  { name: 'Fedora and RHEL', file: '/ca.pem', steps: ['sudo cp sallyport-ca.pem /etc/pki/ca-trust/source/anchors/', 'sudo update-ca-trust'] },
  { name: 'Firefox', file: '/ca.pem', steps: ['Settings, Privacy & Security, View Certificates, Authorities, Import.', 'Or set security.enterprise_roots.enabled to use the system\'s.'] },
  { name: 'Java', file: '/ca.der', steps: ['keytool -importcert -cacerts -alias sallyport -file sallyport-ca.cer'] },
];

export function IssuerView({ api }) {
  const [issuer, setIssuer] = useState(null);
  const [fault, setFault] = useState(null);
  useEffect(() => {
    if (api.routes.has('GET /api/issuer')) ask('GET', '/api/issuer').then(setIssuer, setFault);
  }, []);
  const offered = systems.filter(({ file }) => api.routes.has(`GET ${file}`));
  return html`
    <h1>Issuer</h1>
    ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
    ${(issuer?.faults ?? []).map((text) => html`<p class="fault" role="alert" key=${text}>${text}</p>`)}
    ${(issuer?.warnings ?? []).map((text) => html`<p class="advice" key=${text}>${text}</p>`)}
    ${issuer !== null && html`<section aria-labelledby="facts-title"><h2 id="facts-title">Certificate and revocation</h2><${DataView} value=${shownIssuer(issuer)} /></section>`}
    ${offered.length > 0 && html`
      <section aria-labelledby="trust-title"><h2 id="trust-title">Trust it on…</h2>
        <div class="systems">${offered.map(({ name, file, steps }) => html`
          <details key=${name}><summary>${name}</summary>
            <p><a href=${file} download>Download ${file.slice(1)}</a></p>
            <ol>${steps.map((step) => html`<li key=${step}>${/^(sudo|certutil|keytool) /.test(step) ? html`<code>${step}</code>` : step}</li>`)}</ol>
          </details>`)}</div>
      </section>`}
    ${api.routes.has('POST /api/issuer/revoke') && html`<${Revoke} api=${api} />`}`;
}

/** Faults and warnings stand above already. */
function shownIssuer(issuer) {
  const { faults, warnings, ...rest } = issuer;
  return rest;
}

function Revoke({ api }) {
  const field = useRef(null);
  const [said, setSaid] = useState(null);
  const revoke = async (event) => {
    event.preventDefault();
    const target = field.current.value.trim();
    try {
      const { revoked = [], crlPending = [] } = await ask('POST', '/api/issuer/revoke', { body: { target } });
      const pending = crlPending.length === 0 ? '' : `. The CRL of ${crlPending.join(', ')} could not be signed yet; it is tried again (see the log).`;
      const text = revoked.length === 0 ? `No certificate of ours is known for ${target}.` : `Revoked: ${revoked.join(', ')}${pending}`;
      setSaid({ text, wrong: revoked.length === 0 || pending !== '' });
      field.current.value = '';
    } catch (caught) {
      setSaid({ text: caught.message, wrong: true });
    }
  };
  return html`
    <section aria-labelledby="revoke-title"><h2 id="revoke-title">Revoke emulated certificates</h2>
      <form class="inline" onSubmit=${revoke}>
        <label class="field"><span>Serial or host</span><input ref=${field} required autocomplete="off" spellcheck=${false} /></label>
        <button type="submit" class="danger" disabled=${!api.writes}>Revoke</button>
      </form>
      ${!api.writes && html`<p class="faint">Needs the token.</p>`}
      ${said !== null && html`<p class=${said.wrong ? 'fault' : ''} role=${said.wrong ? 'alert' : 'status'}>${said.text}</p>`}
    </section>`;
}
