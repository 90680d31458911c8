// The table of sessions: only the rows in sight exist in the page, so that thousands cost no more than fifty. One tab stop;
// arrows move the row, Enter opens it, Delete asks to kill it.

import { html, useEffect, useLayoutEffect, useRef, useState } from './html.js';
import { addressText, badgeClass, bytesText, countText, destinationText, spanText, timeText } from './format.js';

/** Height of a row in pixels: the style sheet's --row. */
const rowPx = 30;
/** Rows drawn above and below what is in sight, so that scrolling shows no gaps. */
const spareRows = 12;

const columns = [
  { title: 'Started', name: 'started', text: ({ startedAt }) => timeText(startedAt) },
  { title: 'Client', name: 'client', text: ({ client }) => addressText(client.ip, client.port) },
  { title: 'Destination', name: 'destination', text: destinationText },
  { title: 'Protocol', name: 'protocol', text: ({ protocol }) => html`<span class=${badgeClass(protocol)}>${protocol}</span>` },
  { title: 'Action', name: 'action', text: ({ action }) => action ?? '–' },
  { title: 'State', name: 'state', text: ({ state, error }) => html`<span class=${`state ${state}`}>${error ?? state}</span>` },
  { title: 'Rule', name: 'rule', text: ({ rule }) => rule ?? '–' },
  { title: 'To server', name: 'up number', text: ({ bytes }) => bytesText(bytes.fromClient) },
  { title: 'To client', name: 'down number', text: ({ bytes }) => bytesText(bytes.toClient) },
  { title: 'Lasted', name: 'lasted number', text: ({ startedAt, endedAt }) => spanText((endedAt ?? Date.now()) - startedAt) },
];

/**
 * `store` holds the rows, `version` tells that it changed, `inserted` by how many rows what is in sight was pushed down.
 * `onNeedMore` is called when the end comes near. Another `query` starts at the top.
 */
export function SessionsTable({ store, query, version, inserted, selected, onSelect, onKill, onNeedMore }) {
  const scroller = useRef(null);
  const [from, setFrom] = useState(0);
  const [visible, setVisible] = useState(40);
  const [activeId, drawActive] = useState(null);
  // Keys may come faster than pages are drawn; the next one starts from where the last one went.
  const active = useRef(null);
  const setActiveId = (id) => {
    active.current = id;
    drawActive(id);
  };
  const { rows } = store;

  useLayoutEffect(() => {
    const measure = () => setVisible(Math.ceil(scroller.current.clientHeight / rowPx) + 1);
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current);
    measure();
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    scroller.current.scrollTop = 0;
  }, [query]);

  // Rows that came in above must not move those being read; at the very top the newest are what is wanted.
  useLayoutEffect(() => {
    if (inserted !== 0 && scroller.current.scrollTop > 0) scroller.current.scrollTop += inserted * rowPx;
  }, [version]);

  const scrolled = () => setFrom(Math.floor(scroller.current.scrollTop / rowPx));
  const first = Math.max(0, Math.min(from, rows.length - 1) - spareRows);
  const last = Math.min(rows.length, first + visible + 2 * spareRows);
  useEffect(() => {
    if (store.cursor !== null && last > rows.length - visible * 2) onNeedMore();
  }, [last, rows.length, version]);

  const show = (index) => {
    const top = index * rowPx;
    const box = scroller.current;
    const room = box.clientHeight - rowPx * 2;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top > box.scrollTop + room) box.scrollTop = top - room;
  };
  const pressed = (event) => {
    if (rows.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const index = active.current === null ? -1 : store.indexOf(active.current);
    const page = Math.max(1, visible - 3);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: rows.length - 1 }[event.key];
    if (target !== undefined) {
      const next = Math.max(0, Math.min(rows.length - 1, target));
      setActiveId(rows[next].id);
      show(next);
    } else if (index >= 0 && (event.key === 'Enter' || event.key === ' ')) onSelect(rows[index].id);
    else if (index >= 0 && event.key === 'Delete') onKill(rows[index].id);
    else return;
    event.preventDefault();
  };
  // Only a row that is drawn can be pointed at.
  const activeIndex = activeId === null ? -1 : store.indexOf(activeId);
  const activeShown = activeIndex >= first && activeIndex < last;
  return html`
    <div class="grid" ref=${scroller} onScroll=${scrolled}>
      <table role="grid" tabindex="0" onKeyDown=${pressed} aria-label="Sessions, newest first" aria-rowcount=${rows.length + 1}
          aria-activedescendant=${activeShown ? `row-${activeId}` : null}>
        <thead><tr role="row" aria-rowindex="1">${columns.map(({ title, name }) => html`<th key=${title} scope="col" role="columnheader" class=${name}>${title}</th>`)}</tr></thead>
        <tbody>
          ${first > 0 && html`<tr key="above" class="gap" aria-hidden="true" style=${{ height: `${first * rowPx}px` }}></tr>`}
          ${rows.slice(first, last).map((session, place) => html`
            <${Row} key=${session.id} session=${session} index=${first + place} active=${session.id === activeId} selected=${session.id === selected}
              onOpen=${() => { setActiveId(session.id); onSelect(session.id); }} />`)}
          ${last < rows.length && html`<tr key="below" class="gap" aria-hidden="true" style=${{ height: `${(rows.length - last) * rowPx}px` }}></tr>`}
        </tbody>
      </table>
      ${rows.length === 0 && html`<p class="notice">No session matches.</p>`}
    </div>
    <p class="status" role="status">${countText(store.total)} ${store.total === 1 ? 'session' : 'sessions'}${rows.length < store.total ? `, ${countText(rows.length)} loaded` : ''}</p>`;
}

function Row({ session, index, active, selected, onOpen }) {
  const name = `${index % 2 === 0 ? 'even' : ''} ${active ? 'current' : ''}`;
  return html`
    <tr role="row" id=${`row-${session.id}`} class=${name} aria-rowindex=${index + 2} aria-selected=${selected ? 'true' : 'false'} onClick=${onOpen}>
      ${columns.map((column) => html`<td key=${column.title} role="gridcell" class=${column.name}>${column.text(session)}</td>`)}
    </tr>`;
}
