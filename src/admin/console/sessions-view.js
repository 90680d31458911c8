// The sessions page: filter, live table, details, kill. The filter is in the address, so a view can be linked.

import { ask, followSessions } from './api.js';
import { FilterBar } from './filter-bar.js';
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from './html.js';
import { SessionDetails } from './session-details.js';
import { SessionsTable } from './sessions-table.js';
import { SessionStore } from './store.js';

/** The first page is small so that a filter answers at once; the following ones fill the table while it is read. */
const firstPage = 100;
const nextPage = 1_000;
const countsMs = 5_000;

export function SessionsView({ api, query }) {
  const store = useRef(null);
  store.current ??= new SessionStore();
  const [view, setView] = useState({ version: 0, inserted: 0 });
  const [fault, setFault] = useState(null);
  const [state, setState] = useState('waiting');
  const [paused, setPaused] = useState(false);
  const [selected, setSelected] = useState(null);
  const [killing, setKilling] = useState(null);
  const counts = useCounts();
  const loading = useRef(false);

  const load = useCallback(async (cursor, signal) => {
    loading.current = true;
    try {
      const page = await ask('GET', `/api/sessions?${query === '' ? '' : `${query}&`}limit=${cursor === null ? firstPage : nextPage}${cursor === null ? '' : `&cursor=${cursor}`}`, { signal });
      if (cursor === null) store.current.replace(page);
      else store.current.append(page);
      setView({ version: store.current.version, inserted: 0 });
      setFault(null);
    } catch (caught) {
      if (!signal.aborted) setFault(caught);
    } finally {
      loading.current = false;
    }
  }, [query]);

  const ending = useRef(null);
  // Before the next drawing, not after it: a filter's answer is a frame or two sooner.
  useLayoutEffect(() => {
    if (paused) return undefined;
    const abort = new AbortController();
    ending.current = abort;
    // The stream first: what changes while the first page is on its way is not lost.
    const waiting = { changed: [], gone: [], ready: false };
    const apply = (changed, gone) => {
      const top = document.querySelector('.grid')?.scrollTop ?? 0;
      const anchor = top > 0 ? (store.current.rows[0]?.id ?? null) : null;
      const inserted = store.current.apply(changed, gone, anchor);
      setView({ version: store.current.version, inserted });
    };
    const stop = followSessions(query, (changed, gone) => {
      if (waiting.ready) apply(changed, gone);
      else {
        waiting.changed.push(...changed);
        waiting.gone.push(...gone);
      }
    }, (now) => setState(typeof now === 'string' ? now : 'failed'));
    void load(null, abort.signal).then(() => {
      waiting.ready = true;
      if (waiting.changed.length + waiting.gone.length > 0) apply(waiting.changed, waiting.gone);
    });
    return () => {
      abort.abort();
      stop();
    };
  }, [query, paused]);

  const needMore = useCallback(() => {
    if (!loading.current && store.current.cursor !== null && ending.current !== null) void load(store.current.cursor, ending.current.signal);
  }, [load]);

  useEffect(() => {
    const slash = (event) => {
      if (event.key !== '/' || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? '')) return;
      event.preventDefault();
      document.getElementById('filter-q')?.focus();
    };
    addEventListener('keydown', slash);
    return () => removeEventListener('keydown', slash);
  }, []);

  const close = () => {
    setSelected(null);
    document.querySelector('.grid table')?.focus();
  };
  return html`
    <h1 class="hidden">Sessions</h1>
    <div class="bar">
      <${FilterBar} api=${api} query=${query} counts=${counts} fault=${fault} onQuery=${(next) => { location.hash = `#/sessions${next === '' ? '' : `?${next}`}`; }} />
      <button type="button" class="live" aria-pressed=${paused ? 'false' : 'true'} onClick=${() => setPaused(!paused)}>
        <span class=${`dot ${paused ? 'paused' : state}`} aria-hidden="true"></span>${paused ? 'Paused' : state === 'live' ? 'Live' : state === 'failed' ? 'Not live' : 'Connecting'}
      </button>
    </div>
    <div class=${selected === null ? 'split' : 'split open'}>
      <section class="list" aria-label="Sessions">
        <${SessionsTable} store=${store.current} query=${query} version=${view.version} inserted=${view.inserted} selected=${selected} onSelect=${setSelected} onKill=${setKilling} onNeedMore=${needMore} />
      </section>
      ${selected !== null && html`<${SessionDetails} api=${api} id=${selected} session=${store.current.find(selected)} onClose=${close} onKill=${setKilling} />`}
    </div>
    ${killing !== null && html`<${KillDialog} api=${api} id=${killing} onDone=${() => setKilling(null)} />`}`;
}

/** Counts of words for the filter's menus, now and then. */
function useCounts() {
  const [counts, setCounts] = useState({});
  useEffect(() => {
    const look = () => ask('GET', '/api/summary').then(({ byProtocol, byState, byAction, byError }) => {
      setCounts({ protocol: byProtocol, state: byState, action: byAction, error: byError });
    }, () => undefined);
    void look();
    const timer = setInterval(look, countsMs);
    return () => clearInterval(timer);
  }, []);
  return counts;
}

function KillDialog({ api, id, onDone }) {
  const dialog = useRef(null);
  const [fault, setFault] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const kill = async (event) => {
    event.preventDefault();
    try {
      await ask('DELETE', `/api/sessions/${encodeURIComponent(id)}`);
      dialog.current.close();
    } catch (caught) {
      setFault(caught);
    }
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="kill-title" onClose=${onDone}>
      <form onSubmit=${kill}>
        <h2 id="kill-title">Kill session ${id}?</h2>
        <p>Both connections are closed at once; the client sees its connection break.</p>
        ${!api.writes && fault === null && html`<p>Killing needs the token: set it by the button at the top first.</p>`}
        ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}
        <div class="actions">
          <button type="button" onClick=${() => dialog.current.close()}>Keep</button>
          <button type="submit" class="danger">Kill</button>
        </div>
      </form>
    </dialog>`;
}
