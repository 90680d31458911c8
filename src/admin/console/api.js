// The console's side of the admin API: requests with the token of this tab, and the live stream. A fault is an ApiError
// with the words that the gateway gave.

export class ApiError extends Error {
  constructor(status, code, message, allowed = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.allowed = allowed;
  }
}

const tokenKey = 'sallyport-token';
const listeners = new Set();

/** The token is kept for this tab only. */
export function currentToken() {
  return sessionStorage.getItem(tokenKey);
}

export function setToken(token) {
  if (token === null || token === '') sessionStorage.removeItem(tokenKey);
  else sessionStorage.setItem(tokenKey, token);
  for (const listener of listeners) listener();
}

/** Calls back when the token changes; answers how to stop that. */
export function onToken(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function headersWith(extra = {}) {
  const token = currentToken();
  return token === null ? extra : { ...extra, authorization: `Bearer ${token}` };
}

/** The JSON of an answer. */
export async function ask(method, path, { body, signal } = {}) {
  const response = await reach(path, {
    method, signal,
    headers: headersWith(body === undefined ? {} : { 'content-type': 'application/json' }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.json();
}

/** The text of an answer. */
export async function askText(path, { signal } = {}) {
  return (await reach(path, { headers: headersWith({ accept: 'text/plain' }), signal })).text();
}

async function reach(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', ...options });
  } catch (caught) {
    if (options.signal?.aborted) throw caught;
    throw new ApiError(0, 'UNREACHABLE', 'The gateway does not answer.');
  }
  if (response.ok) return response;
  const fault = await response.json().catch(() => ({}));
  throw new ApiError(response.status, fault.error ?? 'UNKNOWN', fault.message ?? `The gateway answered ${response.status}.`, fault.allowed ?? []);
}

const firstRetryMs = 1_000;
const lastRetryMs = 10_000;

/**
 * Follows the sessions of a filter. `onChanges(changed, gone)` is called for each batch, `onState` with 'live', 'waiting' or
 * an ApiError that will not mend itself. Not EventSource: that could not send the token. Answers how to stop.
 */
export function followSessions(filter, onChanges, onState) {
  const ending = new AbortController();
  void follow(filter, onChanges, onState, ending.signal);
  return () => ending.abort();
}

async function follow(filter, onChanges, onState, signal) {
  let mark = null;
  let waitMs = firstRetryMs;
  while (!signal.aborted) {
    try {
      const path = `/api/sessions/stream${filter === '' ? '' : `?${filter}`}`;
      const response = await reach(path, { headers: headersWith(mark === null ? {} : { 'last-event-id': mark }), signal });
      onState('live');
      waitMs = firstRetryMs;
      let changed = [];
      let gone = [];
      for await (const event of events(response.body)) {
        if (event.name === 'session') changed.push(event.data);
        else if (event.name === 'gone') gone.push(event.data.id);
        else if (event.name === 'mark') {
          if (changed.length + gone.length > 0) onChanges(changed, gone);
          changed = [];
          gone = [];
          mark = event.id;
        }
      }
    } catch (caught) {
      if (signal.aborted) return;
      if (caught instanceof ApiError && caught.status >= 400 && caught.status < 500) {
        onState(caught);
        return;
      }
    }
    if (signal.aborted) return;
    onState('waiting');
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = Math.min(lastRetryMs, waitMs * 2);
  }
}

/** Server-sent events of a body, data parsed. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: 'message', id: null, data: null };
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) event.name = line.slice(7);
        else if (line.startsWith('id: ')) event.id = line.slice(4);
        else if (line.startsWith('data: ')) event.data = JSON.parse(line.slice(6));
      }
      if (event.data !== null) yield event;
    }
  }
}
