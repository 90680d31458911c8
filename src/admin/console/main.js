// The console's frame: navigation by the address's fragment, the token, and what the gateway offers. Each view is one file.

import { ask, currentToken, onToken, setToken } from './api.js';
import { HealthView } from './health-view.js';
import { html, render, useEffect, useRef, useState } from './html.js';
import { IssuerView } from './issuer-view.js';
import { LearnedView } from './learned-view.js';
import { PolicyView } from './policy-view.js';
import { SessionsView } from './sessions-view.js';
import { SummaryView } from './summary-view.js';

/** Views in the order of the navigation; `needs` is a route of the API without which there is nothing to show. */
const views = [
  { path: 'sessions', title: 'Sessions', view: SessionsView, needs: null },
  { path: 'summary', title: 'Summary', view: SummaryView, needs: null },
  { path: 'policy', title: 'Policy', view: PolicyView, needs: ['POST /api/explain', 'GET /api/config'] },
  { path: 'learned', title: 'Learned', view: LearnedView, needs: ['GET /api/learned'] },
  { path: 'issuer', title: 'Issuer', view: IssuerView, needs: ['GET /api/issuer', 'GET /ca.pem'] },
  { path: 'health', title: 'Health', view: HealthView, needs: null },
];

function App() {
  const place = usePlace();
  const [api, setApi] = useState(null);
  const [fault, setFault] = useState(null);
  const [token, noteToken] = useState(currentToken());
  useEffect(() => onToken(() => noteToken(currentToken())), []);
  useEffect(() => {
    // What exists, what the protocols and filters are: asked once, and again with a new token.
    Promise.all([ask('GET', '/api'), ask('GET', '/api/protocols'), ask('GET', '/api/errors')])
      .then(([{ routes, writes }, protocols, { errors }]) => {
        setApi({ routes: new Set(routes), writes, protocols, errors: new Map(errors.map((row) => [row.code, row])) });
        setFault(null);
      })
      .catch(setFault);
  }, [token]);

  const shown = views.filter(({ needs }) => needs === null || api === null || needs.some((route) => api.routes.has(route)));
  const current = shown.find(({ path }) => path === place.path) ?? shown[0];
  useEffect(() => {
    document.title = `${current.title} · Sallyport`;
  }, [current]);
  return html`
    <header class="top">
      <p class="brand"><img src="/console/icon.svg" alt="" width="24" height="24" /> Sallyport</p>
      <nav aria-label="Views">
        <ul>${shown.map(({ path, title }) => html`
          <li key=${path}><a href=${`#/${path}`} aria-current=${path === current.path ? 'page' : null}>${title}</a></li>`)}</ul>
      </nav>
      <${TokenButton} token=${token} writes=${api?.writes === true} wanted=${fault?.status === 401} />
    </header>
    <main id="main" tabindex="-1">
      ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
      ${api !== null && html`<${current.view} key=${current.path} api=${api} query=${place.query} />`}
    </main>`;
}

/** The part of the address after #/, kept in step with it. */
function usePlace() {
  const read = () => {
    const [path, query = ''] = location.hash.replace(/^#\//, '').split('?', 2);
    return { path, query };
  };
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const follow = () => setPlace(read());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return place;
}

/** Shows what this tab may do, and takes a token. */
function TokenButton({ token, writes, wanted }) {
  const dialog = useRef(null);
  const field = useRef(null);
  useEffect(() => {
    if (wanted && !dialog.current.open) dialog.current.showModal();
  }, [wanted]);
  const take = (event) => {
    event.preventDefault();
    setToken(field.current.value.trim());
    field.current.value = '';
    dialog.current.close();
  };
  const label = writes ? 'Read and write' : 'Read-only';
  return html`
    <button type="button" class="quiet" onClick=${() => dialog.current.showModal()}>${label}</button>
    <dialog ref=${dialog} aria-labelledby="token-title">
      <form onSubmit=${take}>
        <h2 id="token-title">Token</h2>
        <p>Changing anything needs the content of the gateway's token file (<code>admin.tokenFile</code>). It is kept for this tab only.</p>
        <label>Token <input ref=${field} type="password" autocomplete="off" spellcheck=${false} /></label>
        <div class="actions">
          <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
          ${token !== null && html`<button type="button" onClick=${() => { setToken(null); dialog.current.close(); }}>Forget</button>`}
          <button type="submit" class="primary">Use</button>
        </div>
      </form>
    </dialog>`;
}

const place = document.getElementById('app');
place.replaceChildren();
render(html`<${App} />`, place);
