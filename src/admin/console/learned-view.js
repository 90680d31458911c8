// Learned bypasses: what clients refused so often that it is tunnelled now, and how to forget it.

import { ask } from './api.js';
import { DataView } from './data-view.js';
import { html, useEffect, useState } from './html.js';

const refreshMs = 5_000;

export function LearnedView({ api }) {
  const [learned, setLearned] = useState(null);
  const [fault, setFault] = useState(null);
  const look = () => ask('GET', '/api/learned').then((value) => { setLearned(value); setFault(null); }, setFault);
  useEffect(() => {
    void look();
    const timer = setInterval(look, refreshMs);
    return () => clearInterval(timer);
  }, []);
  const forget = async (key) => {
    try {
      await ask('DELETE', `/api/learned${key === null ? '' : `?key=${encodeURIComponent(key)}`}`);
      await look();
    } catch (caught) {
      setFault(caught);
    }
  };
  const rows = Array.isArray(learned) ? learned : (Object.values(learned ?? {}).find(Array.isArray) ?? null);
  const action = (row) => (typeof row.key === 'string' ? html`<button type="button" disabled=${!api.writes} onClick=${() => forget(row.key)}>Forget</button>` : null);
  return html`
    <h1>Learned bypasses</h1>
    <p>Clients that refuse the emulated certificate again and again are tunnelled for a while. Forgetting a bypass intercepts them again.</p>
    ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
    ${rows === null ? learned !== null && html`<${DataView} value=${learned} />` : rows.length === 0
      ? html`<p class="notice">Nothing has been learned.</p>`
      : html`<${DataView} value=${rows} caption="In force and under watch" actions=${action} />
          <p><button type="button" class="danger" disabled=${!api.writes} onClick=${() => forget(null)}>Forget all</button></p>`}`;
}
