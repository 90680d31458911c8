// A bounds-checked cursor over bytes for binary parsers: a read past the end answers undefined, nothing throws on input.

/** Reads big-endian fields in order. Every read answers undefined when the bytes do not reach. */
export class Cursor {
  readonly bytes: Buffer;
  offset: number;
  readonly end: number;

  constructor(bytes: Buffer, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = Math.min(end, bytes.length);
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.end - this.offset;
  }

  u8(): number | undefined {
    return this.#take(1, () => this.bytes.readUInt8(this.offset - 1));
  }

  u16(): number | undefined {
    return this.#take(2, () => this.bytes.readUInt16BE(this.offset - 2));
  }

  u24(): number | undefined {
    return this.#take(3, () => this.bytes.readUIntBE(this.offset - 3, 3));
  }

  u32(): number | undefined {
    return this.#take(4, () => this.bytes.readUInt32BE(this.offset - 4));
  }

  /** A view (not a copy) of the next `length` bytes. */
  slice(length: number): Buffer | undefined {
    return this.#take(length, () => this.bytes.subarray(this.offset - length, this.offset));
  }

  /** A cursor over the next `length` bytes, which this cursor then has read. */
  sub(length: number): Cursor | undefined {
    return this.#take(length, () => new Cursor(this.bytes, this.offset - length, this.offset));
  }

  #take<T>(length: number, read: () => T): T | undefined {
    if (length < 0 || length > this.left) return undefined;
    this.offset += length;
    return read();
  }
}
