import { expect, it } from 'vitest';
import { ChunkData } from '../../../src/http/forward-chunks.ts';

const coded = Buffer.from('5\r\nhello\r\nA;name="a;b\\"c"\r\n, chunked\r\r\n003;x\r\n\r\n!\r\n0;last\r\nX-Trailer: 9\r\n\r\n', 'latin1');
const data = 'hello, chunked\r\r\n!';

it('data comes out at every split, and with bytes around it', () => {
  for (let first = 0; first <= coded.length; first += 1) {
    const chunks = new ChunkData();
    chunks.begin();
    const parts = [...chunks.take(coded.subarray(0, first), 0, first), ...chunks.take(coded, first, coded.length)];
    expect(Buffer.concat(parts).toString('latin1')).toBe(data);
  }
});

it('byte by byte, one body after another', () => {
  const chunks = new ChunkData();
  for (let round = 0; round < 2; round += 1) {
    chunks.begin();
    const parts = [...coded].flatMap((octet) => chunks.take(Buffer.from([octet]), 0, 1));
    expect(Buffer.concat(parts).toString('latin1')).toBe(data);
  }
});
