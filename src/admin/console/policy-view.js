// The policy page: asks the gateway what it would do with a described flow and why, and shows the policy in force.

import { ask } from './api.js';
import { DataView } from './data-view.js';
import { html, useEffect, useState } from './html.js';

/** Facts of a question (the words of `sallyport explain`); `list` may carry several, parted by commas. */
const groups = [
  { title: 'Flow', facts: [
    { key: 'dst', label: 'Destination', hint: '203.0.113.9:443 or name:port', required: true },
    { key: 'client', label: 'Client address', hint: '10.0.0.5' },
    { key: 'service', label: 'Service', hint: 'name of a service' },
    { key: 'user', label: 'User', hint: '' },
    { key: 'protocol', label: 'Protocol', hint: 'not said', words: 'protocols' },
  ] },
  { title: 'TLS', facts: [
    { key: 'sni', label: 'Server name (SNI)', hint: 'sip.contoso.com' },
    { key: 'alpn', label: 'ALPN', hint: 'h2, http/1.1', list: true },
    { key: 'ja4', label: 'JA4', hint: '' },
    { key: 'address', label: 'Name and address', hint: 'named, other or unresolved' },
    { key: 'problem', label: 'Certificate problems', hint: 'expired, name', list: true },
  ] },
  { title: 'Request', facts: [
    { key: 'method', label: 'Method', hint: 'GET or INVITE' },
    { key: 'host', label: 'HTTP host', hint: '' },
    { key: 'path', label: 'HTTP path', hint: '/admin/' },
    { key: 'from', label: 'SIP From', hint: 'sip:bob@contoso.com' },
    { key: 'to', label: 'SIP To', hint: '' },
    { key: 'agent', label: 'SIP user agent', hint: '' },
    { key: 'message', label: 'TURN message', hint: '' },
    { key: 'peer', label: 'TURN peer', hint: '' },
  ] },
];

export function PolicyView({ api }) {
  const [answer, setAnswer] = useState(null);
  const [fault, setFault] = useState(null);
  const [config, setConfig] = useState(null);
  useEffect(() => {
    if (api.routes.has('GET /api/config')) ask('GET', '/api/config').then(setConfig, setFault);
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const question = {};
    for (const { key, list } of groups.flatMap(({ facts }) => facts)) {
      const text = String(new FormData(event.currentTarget).get(key) ?? '').trim();
      if (text !== '') question[key] = list ? text.split(',').map((part) => part.trim()).filter((part) => part !== '') : text;
    }
    try {
      setAnswer(await ask('POST', '/api/explain', { body: question }));
      setFault(null);
    } catch (caught) {
      setAnswer(null);
      setFault(caught);
    }
  };
  const field = ({ key, label, hint, required, words }) => html`
    <label class="field" key=${key}><span>${label}</span>${words === undefined
      ? html`<input name=${key} placeholder=${hint} required=${required === true} autocomplete="off" spellcheck=${false} />`
      : html`<select name=${key}><option value="">${hint}</option>${api.protocols[words].map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`}</label>`;
  return html`
    <h1>Policy</h1>
    ${api.routes.has('POST /api/explain') && html`
      <section aria-labelledby="explain-title">
        <h2 id="explain-title">What would happen to…</h2>
        <form class="explain" onSubmit=${submit}>
          ${groups.map(({ title, facts }) => html`<fieldset key=${title}><legend>${title}</legend><div class="fields">${facts.map(field)}</div></fieldset>`)}
          <button type="submit" class="primary">Explain</button>
        </form>
        ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
        <div role="status">${answer !== null && (Array.isArray(answer.stages) ? html`<${Stages} trace=${answer} />` : html`<${DataView} value=${answer} />`)}</div>
      </section>`}
    ${config !== null && html`<section aria-labelledby="config-title"><h2 id="config-title">Policy in force</h2><${DataView} value=${config.policy ?? config} /></section>`}`;
}

/** The verdict of every stage, the rule that gave it, and why the rules before it did not match. */
function Stages({ trace }) {
  return html`<ol class="stages">${trace.stages.map((stage) => html`
    <li key=${stage.stage} class=${stage.asked ? '' : 'faint'}>
      <h3>${stage.stage}: ${stage.asked ? stage.action : 'not asked'}</h3>
      ${stage.rule !== null && html`<p>Rule <code>${stage.rule}</code></p>`}
      ${stage.note !== null && html`<p>${stage.note}</p>`}
      ${Object.keys(stage.settings).length > 0 && html`<${DataView} value=${stage.settings} />`}
      ${stage.passed.length > 0 && html`
        <details><summary>${stage.passed.length} ${stage.passed.length === 1 ? 'rule' : 'rules'} did not match</summary>
          <ul>${stage.passed.map(({ rule, failed }) => html`
            <li key=${rule}><code>${rule}</code>: ${failed.map(({ key, wanted, found }) => `${key} is ${found ?? 'not known'}, not ${wanted}`).join('; ')}</li>`)}</ul>
        </details>`}
    </li>`)}</ol>`;
}
