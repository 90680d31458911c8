// Bounded containers of the observer: what is watched is forgotten oldest first, what is shown keeps the live entries longest.

/** A map that forgets its oldest entry when full. `onForgotten` is told which. */
export class BoundedMap<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #max: number;
  readonly #onForgotten: (value: Value) => void;

  constructor(max: number, onForgotten: (value: Value) => void) {
    this.#max = max;
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: Value): void {
    if (this.#entries.size >= this.#max && !this.#entries.has(key)) {
      for (const [oldest, forgotten] of this.#entries) {
        this.#entries.delete(oldest);
        this.#onForgotten(forgotten);
        break;
      }
    }
    this.#entries.set(key, value);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** The entry, which then is forgotten. */
  take(key: string): Value | undefined {
    const value = this.#entries.get(key);
    this.#entries.delete(key);
    return value;
  }

  values(): IterableIterator<Value> {
    return this.#entries.values();
  }
}

/** Appends to a list of a session's details; when it is full, the oldest entry that is over leaves, else the oldest. */
export function show<Item>(list: Item[], item: Item, max: number, isOver: (item: Item) => boolean): void {
  if (list.length >= max) list.splice(Math.max(0, list.findIndex(isOver)), 1);
  list.push(item);
}

/** A text from the wire as it may be shown: at most `bytesMax` bytes of UTF-8, no control characters. */
export function shown(text: string, bytesMax: number): string {
  const clean = /[\p{Cc}\p{Cf}]/u.test(text) ? text.replace(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}') : text;
  if (clean.length * 3 <= bytesMax || Buffer.byteLength(clean) <= bytesMax) return clean;
  const cut = Buffer.from(clean.slice(0, bytesMax)).subarray(0, bytesMax).toString();
  return cut.endsWith('\u{fffd}') ? cut.slice(0, -1) : cut;
}
