import { expect, test } from 'vitest';
import { brokenRequest } from '../../../src/http/failures.ts';
import { Head } from '../../../src/http/head.ts';
import { InBand } from '../../../src/http/in-band.ts';
import { depsFor } from './harness.ts';

function answer(parts: Partial<Head>, ...body: string[]): { text: string; closeAfter: boolean; status: number } {
  const inBand = new InBand(depsFor({ limits: { ocspRequestBytesMax: 256 } }));
  const pending = brokenRequest(0);
  inBand.begin(Object.assign(new Head(), { method: 'GET', target: '/a' }, parts));
  for (const part of body) inBand.collect(Buffer.from(part));
  inBand.answer(pending);
  return { text: pending.answer?.toString() ?? '', closeAfter: pending.closeAfter, status: pending.status };
}

test('path and body reach the revocation endpoints', () => {
  expect(answer({ target: 'http://crl.example:80/ssl/crl/1.crl?x' }).text).toContain('GET /ssl/crl/1.crl?x 0');
  expect(answer({ method: 'POST', target: '/ocsp' }, 'ab', 'cd').text).toContain('POST /ocsp 4');
  expect(answer({ method: 'HEAD' }).text.endsWith('\r\n\r\n')).toBe(true);
});

test('HTTP/1.0 is closed, HTTP/1.1 kept, too much refused', () => {
  expect(answer({ minor: 0 })).toMatchObject({ closeAfter: true, status: 200 });
  expect(answer({ minor: 1 })).toMatchObject({ closeAfter: false, status: 200 });
  expect(answer({ method: 'POST' }, 'x'.repeat(257))).toMatchObject({ closeAfter: true, status: 413 });
});
