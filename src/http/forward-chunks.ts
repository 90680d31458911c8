// Takes the data out of a chunked body whose coding was judged before (BodyWalker): sizes, extensions and trailers are left out.
// It trusts the coding and holds no bytes.

const state = { size: 0, line: 1, data: 2, dataEnd: 3, trailer: 4 } as const;
const lineFeed = 10;

/** Reads one chunked body. */
export class ChunkData {
  #state: number = state.size;
  #left = 0;

  /** Begins a new body. */
  begin(): void {
    this.#state = state.size;
    this.#left = 0;
  }

  /** The data among the bytes between `from` and `to`, in order, as views. */
  take(bytes: Buffer, from: number, to: number): Buffer[] {
    const data: Buffer[] = [];
    let at = from;
    while (at < to) {
      if (this.#state === state.data) {
        const end = Math.min(to, at + this.#left);
        data.push(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = state.dataEnd;
        continue;
      }
      if (this.#state === state.trailer) break;
      this.#octet(bytes[at] ?? 0);
      at += 1;
    }
    return data;
  }

  #octet(value: number): void {
    if (this.#state === state.size) {
      const digit = Number.parseInt(String.fromCharCode(value), 16);
      if (!Number.isNaN(digit)) {
        this.#left = this.#left * 16 + digit;
        return;
      }
      this.#state = state.line;
    }
    if (value !== lineFeed) return;
    if (this.#state === state.dataEnd) this.#state = state.size;
    else this.#state = this.#left === 0 ? state.trailer : state.data;
  }
}
