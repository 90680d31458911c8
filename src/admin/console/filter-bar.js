// The filter of the sessions table: one control for each key of the filter language, made from /api/protocols, so that
// whatever the gateway shows can be asked for. The filter lives in the address; this only edits it.

import { html, useEffect, useRef, useState } from './html.js';

/** Keys with a text field that is always in sight; the others with free values wait under More. */
const mainFields = ['q'];
const typingMs = 250;

/** The pairs of a filter text: key to text. */
export function filterPairs(query) {
  const pairs = {};
  for (const [key, value] of new URLSearchParams(query)) if (value !== '') pairs[key] = pairs[key] === undefined ? value : `${pairs[key]},${value}`;
  return pairs;
}

/** A filter text of pairs, without empty ones. */
export function filterText(pairs) {
  return Object.entries(pairs).filter(([, value]) => value !== '').map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
}

export function FilterBar({ api, query, onQuery, counts, fault }) {
  const pairs = filterPairs(query);
  const change = (key, value) => {
    const next = { ...pairs };
    if (value === '') delete next[key];
    else next[key] = value;
    onQuery(filterText(next));
  };
  const { filters } = api.protocols;
  const field = (filter) => html`<${TextFilter} key=${filter.key} filter=${filter} value=${pairs[filter.key] ?? ''} onChange=${change} />`;
  const free = filters.filter(({ words }) => words === null);
  const more = free.filter(({ key }) => !mainFields.includes(key));
  const moreInUse = more.filter(({ key }) => pairs[key] !== undefined).length;
  return html`
    <form class="filters" role="search" aria-label="Filter sessions" onSubmit=${(event) => event.preventDefault()}>
      ${free.filter(({ key }) => mainFields.includes(key)).map(field)}
      ${filters.filter(({ words }) => words !== null).map((filter) => html`
        <${WordsFilter} key=${filter.key} filter=${filter} value=${pairs[filter.key] ?? ''} onChange=${change} counts=${counts[filter.key] ?? {}} about=${aboutWords(api, filter.key)} />`)}
      <${Menu} label=${moreInUse === 0 ? 'More' : `More (${moreInUse})`} active=${moreInUse > 0}>
        <div class="fields">${more.map(field)}</div>
      <//>
      ${Object.keys(pairs).length > 0 && html`<button type="button" class="quiet" onClick=${() => onQuery('')}>Clear all</button>`}
    </form>
    ${fault !== null && html`<p class="fault" role="alert">${fault.message}</p>`}`;
}

/** What a word means, for its tooltip. */
function aboutWords(api, key) {
  if (key === 'error') return (word) => api.errors.get(word)?.text ?? '';
  if (key !== 'protocol') return () => '';
  const { protocols, words } = api.protocols;
  return (word) => protocols.find(({ name }) => name === word)?.about ?? `stands for ${words[word].join(', ')}`;
}

/** A text that takes effect a moment after the last key. */
function TextFilter({ filter, value, onChange }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = (event) => {
    const next = event.currentTarget.value;
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(filter.key, next.trim()), typingMs);
  };
  const name = filter.key === 'q' ? 'Search' : filter.key;
  return html`
    <label class=${filter.key === 'q' ? 'search' : 'field'}>
      <span class=${filter.key === 'q' ? 'hidden' : ''}>${name}</span>
      <input type="search" id=${`filter-${filter.key}`} value=${text} onInput=${typed} placeholder=${filter.key === 'q' ? 'Search names, addresses, rules  ( / )' : filter.form} title=${filter.about} autocomplete="off" spellcheck=${false} />
    </label>`;
}

/** Words of a closed set, as checkboxes in a menu. Groups of protocols stand apart from the names. */
function WordsFilter({ filter, value, onChange, counts, about }) {
  const chosen = value === '' ? [] : value.split(',');
  const toggle = (word) => onChange(filter.key, (chosen.includes(word) ? chosen.filter((one) => one !== word) : [...chosen, word]).join(','));
  const title = filter.key[0].toUpperCase() + filter.key.slice(1);
  const shown = chosen.length === 0 ? title : `${title}: ${chosen.slice(0, 2).join(', ')}${chosen.length > 2 ? ` +${chosen.length - 2}` : ''}`;
  return html`
    <${Menu} label=${shown} active=${chosen.length > 0}>
      <fieldset class=${filter.words.length > 24 ? 'words many' : 'words'}>
        <legend>${filter.about}</legend>
        ${filter.words.map((word) => html`
          <label key=${word} title=${about(word)}>
            <input type="checkbox" name=${filter.key} value=${word} checked=${chosen.includes(word)} onChange=${() => toggle(word)} />
            <span>${word}</span>
            ${counts[word] !== undefined && html`<span class="count">${counts[word]}</span>`}
          </label>`)}
      </fieldset>
    <//>`;
}

/** A button that opens a panel; Escape and a click elsewhere close it. */
function Menu({ label, active, children }) {
  const menu = useRef(null);
  useEffect(() => {
    const outside = (event) => {
      if (!menu.current.contains(event.target)) menu.current.open = false;
    };
    const escape = (event) => {
      if (event.key !== 'Escape' || !menu.current.open) return;
      menu.current.open = false;
      menu.current.querySelector('summary').focus();
      event.stopPropagation();
    };
    const element = menu.current;
    document.addEventListener('pointerdown', outside);
    element.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', outside);
      element.removeEventListener('keydown', escape);
    };
  }, []);
  return html`<details class="menu" ref=${menu}><summary class=${active ? 'active' : ''}>${label}</summary><div class="panel">${children}</div></details>`;
}
