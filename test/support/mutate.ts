// Bytes changed at random in ways that DER readers stumble over, the same for the same seed. Never used outside tests.

/** A small generator of its own, so that a failure can be run again (mulberry32). */
export function generator(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Flips, cuts, repeats and splices bytes; favours what breaks DER: lengths and tags. */
export function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  let result = Buffer.from(bytes);
  for (let times = 1 + random(4); times > 0 && result.length > 0; times -= 1) {
    const at = random(result.length);
    switch (random(6)) {
      case 0: result[at] = random(256); break;
      case 1: result[at] = [0x00, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30, 0xa3][random(8)] ?? 0; break;
      case 2: result = result.subarray(0, at); break;
      case 3: result = Buffer.concat([result.subarray(0, at), Buffer.alloc(random(40), random(256)), result.subarray(at)]); break;
      case 4: result = Buffer.concat([result.subarray(0, at), result.subarray(at + random(20))]); break;
      default: result = Buffer.concat([result.subarray(0, at), result.subarray(random(result.length), random(result.length) + 30), result.subarray(at)]);
    }
  }
  return result;
}
