// The sessions that the table shows: a page or more of the newest, kept up to date by the stream's changes. Newest first,
// each once, bounded. Pure data; views are told through the version number.

/** Rows kept at most; older ones are let go and can be fetched again. */
export const rowsMax = 20_000;

/** Orders ids newest first: by the time in them, then by worker (as the gateway does). */
export function compareNewest(left, right) {
  const [leftWorker, leftTime] = parts(left);
  const [rightWorker, rightTime] = parts(right);
  if (leftTime !== rightTime) return rightTime.length - leftTime.length || (leftTime < rightTime ? 1 : -1);
  if (leftWorker === rightWorker) return 0;
  return leftWorker < rightWorker ? 1 : -1;
}

export class SessionStore {
  /** Newest first. */
  rows = [];
  total = 0;
  /** For the next older page; null when all are here. */
  cursor = null;
  /** Grows with every change. */
  version = 0;
  #byId = new Map();

  /** The first page of a new filter. */
  replace(page) {
    this.rows = [];
    this.#byId.clear();
    this.append(page);
  }

  /** The next older page. */
  append(page) {
    const fresh = page.sessions.filter(({ id }) => !this.#byId.has(id));
    for (const session of fresh) this.#byId.set(session.id, session);
    this.rows = merged(this.rows, fresh);
    this.total = page.total;
    this.cursor = page.cursor;
    this.#trim();
    this.version += 1;
  }

  /** Changes of the stream. Answers how many rows came in above `anchorId` less those that left above it. */
  apply(changed, gone, anchorId = null) {
    let above = 0;
    const isAbove = (id) => anchorId !== null && compareNewest(id, anchorId) < 0;
    const fresh = [];
    for (const session of changed) {
      const known = this.#byId.has(session.id);
      if (!known && !this.#belongs(session.id)) continue;
      this.#byId.set(session.id, session);
      if (known) continue;
      fresh.push(session);
      if (isAbove(session.id)) above += 1;
    }
    const left = gone.filter((id) => this.#byId.delete(id));
    for (const id of left) if (isAbove(id)) above -= 1;
    // The map has what is new of each row; those that are gone have left it.
    const kept = [];
    for (const row of this.rows) {
      const now = this.#byId.get(row.id);
      if (now !== undefined) kept.push(now);
    }
    fresh.sort((one, other) => compareNewest(one.id, other.id));
    this.rows = merged(kept, fresh);
    this.total += fresh.length - left.length;
    this.#trim();
    this.version += 1;
    return above;
  }

  find(id) {
    return this.#byId.get(id) ?? null;
  }

  indexOf(id) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = compareNewest(this.rows[middle].id, id);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** A session older than the oldest row belongs to a page that is not here yet. */
  #belongs(id) {
    const oldest = this.rows.at(-1);
    return this.cursor === null || oldest === undefined || compareNewest(id, oldest.id) < 0;
  }

  #trim() {
    if (this.rows.length <= rowsMax) return;
    for (const row of this.rows.splice(rowsMax)) this.#byId.delete(row.id);
    this.cursor = this.rows.at(-1).id;
  }
}

/** Two lists, each newest first, as one. The second is mostly all newer or all older than the first. */
function merged(left, right) {
  if (left.length === 0) return right;
  if (right.length === 0) return left;
  if (compareNewest(left.at(-1).id, right[0].id) < 0) return [...left, ...right];
  if (compareNewest(right.at(-1).id, left[0].id) < 0) return [...right, ...left];
  const all = [];
  let next = 0;
  for (const row of left) {
    while (next < right.length && compareNewest(right[next].id, row.id) < 0) all.push(right[next++]);
    all.push(row);
  }
  return [...all, ...right.slice(next)];
}

function parts(id) {
  const dash = id.lastIndexOf('-');
  return [id.slice(0, dash), id.slice(dash + 1)];
}
