// Shows plain data of any form: lists of objects as tables, objects as name and value, the rest as text. What comes from
// the wire stays text: nothing here makes markup of it.

import { html } from './html.js';
import { countText, timeText } from './format.js';

/** Any JSON value. */
export function DataView({ value, caption = null, actions = null }) {
  if (Array.isArray(value)) return value.length > 0 && value.every(isRecord) ? html`<${DataTable} rows=${value} caption=${caption} actions=${actions} />` : html`<${DataList} items=${value} />`;
  if (isRecord(value)) return html`<${DataPairs} record=${value} />`;
  return html`<span>${scalarText('', value)}</span>`;
}

function DataTable({ rows, caption, actions }) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption ?? 'Table'}><table class="data">
    ${caption !== null && html`<caption>${caption}</caption>`}
    <thead><tr>${names.map((name) => html`<th scope="col" key=${name}>${words(name)}</th>`)}${actions !== null && html`<th scope="col">Actions</th>`}</tr></thead>
    <tbody>${rows.map((row, index) => html`
      <tr key=${index}>
        ${names.map((name) => html`<td key=${name}><${Cell} name=${name} value=${row[name]} /></td>`)}
        ${actions !== null && html`<td>${actions(row)}</td>`}
      </tr>`)}</tbody>
  </table></div>`;
}

function DataPairs({ record }) {
  return html`<dl class="pairs">${Object.entries(record).map(([name, value]) => html`
    <div key=${name}><dt>${words(name)}</dt><dd><${Cell} name=${name} value=${value} /></dd></div>`)}</dl>`;
}

function DataList({ items }) {
  if (items.length === 0) return html`<span class="faint">none</span>`;
  if (items.every((item) => typeof item !== 'object' || item === null)) return html`<span>${items.map((item) => scalarText('', item)).join(', ')}</span>`;
  return html`<ul>${items.map((item, index) => html`<li key=${index}><${DataView} value=${item} /></li>`)}</ul>`;
}

function Cell({ name, value }) {
  return typeof value === 'object' && value !== null ? html`<${DataView} value=${value} />` : html`<span>${scalarText(name, value)}</span>`;
}

function scalarText(name, value) {
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value !== 'number') return String(value);
  // Fields named ...At hold milliseconds since the epoch.
  return /At$|(Since|Until|Update|From|To)Ms$/.test(name) && value > 1e12 ? timeText(value) : countText(value) === String(Math.round(value)) ? String(value) : value.toLocaleString('en');
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** camelCase names as words: sessionsMax, sessions max. */
function words(name) {
  return name.replace(/([a-z0-9])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`);
}
