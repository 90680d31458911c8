// All that is known of one session: who, where, why, TLS on both sides, and what its protocol's handler noted.

import { ask } from './api.js';
import { DataView } from './data-view.js';
import { addressText, badgeClass, bytesText, countText, destinationText, spanText, timeText } from './format.js';
import { html, useEffect, useRef, useState } from './html.js';

const refreshMs = 2_000;

/** `session` is the row of the table, or null when it is not (or no longer) there: then it is asked for. */
export function SessionDetails({ api, id, session, onClose, onKill }) {
  const [asked, setAsked] = useState(null);
  const [fault, setFault] = useState(null);
  const heading = useRef(null);
  useEffect(() => {
    heading.current?.focus();
  }, [id]);
  useEffect(() => {
    if (session !== null) return undefined;
    const look = () => ask('GET', `/api/sessions/${encodeURIComponent(id)}`).then((one) => { setAsked(one); setFault(null); }, setFault);
    void look();
    const timer = setInterval(look, refreshMs);
    return () => clearInterval(timer);
  }, [id, session === null]);
  const shown = session ?? (asked?.id === id ? asked : null);
  const close = (event) => {
    if (event.key === 'Escape') onClose();
  };
  return html`
    <aside class="details" aria-labelledby="details-title" onKeyDown=${close}>
      <header>
        <h2 id="details-title" tabindex="-1" ref=${heading}>${shown === null ? id : destinationText(shown)}</h2>
        <button type="button" onClick=${onClose} aria-label="Close details">Close</button>
      </header>
      ${shown === null && fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
      ${shown !== null && html`<${Facts} api=${api} session=${shown} onKill=${onKill} />`}
    </aside>`;
}

function Facts({ api, session, onKill }) {
  const { bytes, tls, details, error, tunnelledOnError } = session;
  const code = error ?? tunnelledOnError;
  const row = code === null ? null : api.errors.get(code);
  return html`
    <p><span class=${badgeClass(session.protocol)}>${session.protocol}</span> <span class=${`state ${session.state}`}>${session.state}</span> ${session.action ?? 'not decided yet'}
      ${session.state === 'active' && html` <button type="button" class="danger" onClick=${() => onKill(session.id)}>Kill…</button>`}</p>
    ${row !== null && row !== undefined && html`
      <div class="advice"><p><strong>${code}</strong>${error === null ? ' became a tunnel' : ''}: ${row.text}${session.errorDetail !== null && ` (${session.errorDetail})`}</p><p>${row.advice}</p></div>`}
    <${Pairs} rows=${[
      ['Id', session.id],
      ['Service', session.service],
      ['Client', addressText(session.client.ip, session.client.port)],
      ['Destination', `${session.destination.ip ?? 'not resolved'} port ${session.destination.port}${session.destination.host === null ? '' : ` (${session.destination.host})`}`],
      ['User', session.user],
      ['Layers', session.chain.join(' › ')],
      ['Rule', session.rule],
      ['Note', session.note],
      ['Started', timeText(session.startedAt)],
      ['Ended', session.endedAt === null ? null : `${timeText(session.endedAt)}, after ${spanText(session.endedAt - session.startedAt)}`],
    ]} />
    ${details.http !== undefined && html`<h3>HTTP</h3><${DataView} value=${details.http} />`}
    ${details.sip !== undefined && html`<${SipFacts} sip=${details.sip} />`}
    ${details.turn !== undefined && html`<${TurnFacts} turn=${details.turn} />`}
    <h3>Bytes</h3>
    <${Pairs} rows=${[['From client', bytesText(bytes.fromClient)], ['To server', bytesText(bytes.toUpstream)], ['From server', bytesText(bytes.fromUpstream)], ['To client', bytesText(bytes.toClient)]]} />
    ${(session.sni !== null || tls.client !== null || tls.upstream !== null || session.ja4 !== null) && html`
      <h3>TLS</h3>
      <${Pairs} rows=${[
        ['Name asked for', session.sni],
        ['Address', session.claim && { named: 'is one of the name\'s', other: 'is none of the name\'s', unresolved: 'unknown: the name cannot be resolved' }[session.claim.address]],
        ['Client', tls.client && `${tls.client.version}, ${tls.client.cipher}${tls.client.alpn === null ? '' : `, ${tls.client.alpn}`}`],
        ['Server', tls.upstream && `${tls.upstream.version}, ${tls.upstream.cipher}${tls.upstream.alpn === null ? '' : `, ${tls.upstream.alpn}`}`],
        ['Server name', tls.upstream && tls.upstream.name],
        ['Problems', tls.upstream && tls.upstream.problems.length > 0 ? tls.upstream.problems.join(', ') : null],
        ['Emulated certificate', tls.leaf && `${tls.leaf.key.toUpperCase()}, serial ${tls.leaf.serial}${tls.leaf.mirrored ? ', after the server\'s' : ', for this name alone'}`],
        ['ALPN offered', session.alpn.join(', ')],
        ['JA3', session.ja3],
        ['JA4', session.ja4],
      ]} />`}`;
}

function SipFacts({ sip }) {
  return html`
    <h3>SIP</h3>
    ${sip.opaque !== null && html`<p class="advice">No longer looked into: ${sip.opaque}</p>`}
    <${Pairs} rows=${[
      ['Requests', counts(sip.methods)],
      ['Responses', counts(sip.statuses)],
      ['A second', sip.rates && [counts(sip.rates.methods, rateText), counts(sip.rates.statuses, rateText)].filter((text) => text !== '').join(', ')],
      ['Busiest second', sip.busiestSecond && `${countText(sip.busiestSecond.fromClient)} from client, ${countText(sip.busiestSecond.fromUpstream)} from server`],
      ['Keep-alives', countText(sip.keepAlives)],
      ['Server', sip.server],
      ['Media relay asked for', sip.mras && `${countText(sip.mras.requested)}, granted ${countText(sip.mras.granted)}, failed ${countText(sip.mras.failed)}`],
      ['Refused', sip.denied && `${countText(sip.denied.requests)}, last by ${sip.denied.rule}`],
    ]} />
    ${sip.registrations.length > 0 && html`<${DataView} value=${sip.registrations} caption="Registrations" />`}
    ${sip.dialogs.length > 0 && html`<${DataView} value=${sip.dialogs} caption="Dialogs" />`}
    ${sip.subscriptions?.length > 0 && html`<${DataView} value=${sip.subscriptions} caption="Subscriptions" />`}`;
}

function TurnFacts({ turn }) {
  const peers = Object.entries(turn.peers).map(([peer, { toPeer, fromPeer }]) => ({ peer, toPeer: bytesText(toPeer), fromPeer: bytesText(fromPeer) }));
  return html`
    <h3>TURN</h3>
    ${turn.opaque !== null && html`<p class="advice">No longer looked into: ${turn.opaque}</p>`}
    <${Pairs} rows=${[
      ['Messages', counts(turn.messages)],
      ['Errors', counts(turn.errors)],
      ['Data to server', dataText(turn, 'toUpstream')],
      ['Data to client', dataText(turn, 'toClient')],
      ['MS version', turn.version],
      ['Active destination', turn.activeDestination],
      ['Media (RTP) seen', turn.rtpSeen ? 'yes' : 'no'],
      ['Refused', turn.denied && `${countText(turn.denied.messages)}, last by ${turn.denied.rule}`],
    ]} />
    ${turn.allocations.length > 0 && html`<${DataView} value=${turn.allocations} caption="Allocations" />`}
    ${peers.length > 0 && html`<${DataView} value=${peers} caption="Peers" />`}`;
}

/** Data of one direction, how fast it goes, and how fast it went. */
function dataText({ dataBytes, dataFrames, dataRates }, direction) {
  const rate = dataRates[direction];
  return `${bytesText(dataBytes[direction])} in ${countText(dataFrames[direction])} frames; a second ${bytesText(rate.bytes)} in ${countText(rate.frames)}, at most ${bytesText(rate.bytesMax)} in ${countText(rate.framesMax)}`;
}

/** Name and value; those without a value are left out. */
function Pairs({ rows }) {
  return html`<dl class="pairs">${rows.filter(([, value]) => value !== null && value !== undefined && value !== '').map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function counts(record, text = countText) {
  return Object.entries(record).sort((left, right) => right[1] - left[1]).map(([name, count]) => `${name} ${text(count)}`).join(', ');
}

function rateText(value) {
  return value.toLocaleString('en', { maximumFractionDigits: 2 });
}
