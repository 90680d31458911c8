// One coarse timer for all idle limits: it compares a progress figure (bytes read and written) of every watched thing
// once a second, so that a byte costs no timer work. A limit is kept to within one tick, never early.

/** The tick; idle limits are seconds to hours, so a second's coarseness does not matter. */
const tickMs = 1000;

export interface IdleWatch {
  /** Milliseconds without progress before `onIdle` is called; may change while watched. */
  limitMs: number;
  stop(): void;
}

interface Entry extends IdleWatch {
  readonly progress: () => number;
  readonly onIdle: () => void;
  seen: number;
  stillMs: number;
}

const watched = new Set<Entry>();
let timer: NodeJS.Timeout | null = null;

/** Calls `onIdle` once when `progress()` has not changed for `limitMs`; the watch is over then. */
export function watchIdle(progress: () => number, limitMs: number, onIdle: () => void): IdleWatch {
  const entry: Entry = { limitMs, progress, onIdle, seen: progress(), stillMs: -tickMs, stop: () => stop(entry) };
  watched.add(entry);
  timer ??= setInterval(tick, tickMs).unref();
  return entry;
}

/** How many things are watched, for tests of leaks. */
export function watchedCount(): number {
  return watched.size;
}

function stop(entry: Entry): void {
  watched.delete(entry);
  if (watched.size > 0 || timer === null) return;
  clearInterval(timer);
  timer = null;
}

function tick(): void {
  for (const entry of watched) {
    const progress = entry.progress();
    entry.stillMs = progress === entry.seen ? entry.stillMs + tickMs : 0;
    entry.seen = progress;
    if (entry.stillMs < entry.limitMs) continue;
    stop(entry);
    entry.onIdle();
  }
}
