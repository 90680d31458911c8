// Collects which bytes of a chunk go on, and where the last whole message among them ends. Copies only when the chunk does
// not go on as it came.

/** One chunk's passage. Reused for every chunk. */
export class Passage {
  #chunk: Buffer = Buffer.alloc(0);
  /** Finished parts, then the run [from, to) of the chunk that may still grow. */
  #parts: Buffer[] = [];
  #from = 0;
  #to = 0;
  #boundary = -1;

  begin(chunk: Buffer): void {
    this.#chunk = chunk;
    if (this.#parts.length > 0) this.#parts = [];
    this.#from = 0;
    this.#to = 0;
    this.#boundary = -1;
  }

  /** Lets [from, to) of the chunk through. */
  pass(from: number, to: number): void {
    if (this.#to !== from) {
      this.#endRun();
      this.#from = from;
    }
    this.#to = to;
  }

  /** Puts bytes of earlier chunks, held until now, before what follows. */
  release(bytes: Buffer): void {
    this.#endRun();
    this.#from = this.#to;
    this.#parts.push(bytes);
  }

  /** What passed so far ends with a whole message. */
  mark(): void {
    let length = this.#to - this.#from;
    for (const part of this.#parts) length += part.length;
    this.#boundary = length;
  }

  /** Whether the chunk goes on just as it came. */
  get isWhole(): boolean {
    return this.#parts.length === 0 && this.#from === 0 && this.#to === this.#chunk.length;
  }

  /** Offset in `bytes` of its last message end, -1 when there is none. */
  get boundary(): number {
    return this.#boundary;
  }

  /** All that goes on, in order; null when nothing does. Call once, last. */
  bytes(): Buffer | null {
    this.#endRun();
    this.#from = this.#to;
    const parts = this.#parts;
    return parts.length === 0 ? null : parts.length === 1 ? (parts[0] ?? null) : Buffer.concat(parts);
  }

  #endRun(): void {
    if (this.#to > this.#from) this.#parts.push(this.#chunk.subarray(this.#from, this.#to));
  }
}
