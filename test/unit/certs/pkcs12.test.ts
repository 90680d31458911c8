import { execFileSync } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { IssuerError } from '../../../src/certs/issuer-error.ts';
import { openPkcs12 } from '../../../src/certs/pkcs12.ts';
import { makeIntermediate, makeRoot } from '../../support/certs.ts';
import type { TestCert } from '../../support/certs.ts';
import { generator, mutate } from '../../support/mutate.ts';
import { temporaryFolder } from './helpers.ts';

const roots = { ec: makeRoot('EC root'), rsa: makeRoot('RSA root', { key: 'rsa' }) };

async function packed(cert: TestCert, others: readonly TestCert[], ...flags: string[]): Promise<Buffer> {
  const folder = await temporaryFolder();
  const file = (name: string): string => join(folder, name);
  await writeFile(file('c'), cert.certPem);
  await writeFile(file('k'), cert.keyPem);
  await writeFile(file('o'), others.map(({ certPem }) => certPem).join(''));
  execFileSync('openssl', ['pkcs12', '-export', '-in', file('c'), '-inkey', file('k'), ...(others.length === 0 ? [] : ['-certfile', file('o')]), '-out', file('p'), '-passout', 'pass:sécret', ...flags], { stdio: 'pipe' });
  return readFile(file('p'));
}

describe.each(['ec', 'rsa'] as const)('PKCS#12 with an %s key', (key) => {
  it.each<[string, string[]]>([['modern encryption', []], ['legacy encryption', ['-legacy']], ['no certificate encryption', ['-certpbe', 'NONE']], ['no key encryption', ['-keypbe', 'NONE']], ['no MAC', ['-nomac']]])('opens: %s', async (_label, flags) => {
    const root = roots[key];
    const { keyPem, chain } = openPkcs12(await packed(root, [], ...flags), 'sécret');
    expect(chain).toEqual([root.der]);
    expect(new X509Certificate(root.der).checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
  });

  it('puts the chain into order', async () => {
    const middle = makeIntermediate(roots[key], 'M', { pathLength: 1 });
    const issuing = makeIntermediate(middle, 'I', { key });
    const stranger = makeRoot('S');
    expect(openPkcs12(await packed(issuing, [roots[key], stranger, middle]), 'sécret').chain).toEqual([issuing.der, middle.der, roots[key].der]);
  });

  it('says that the password is wrong', async () => {
    const bytes = await packed(roots[key], []);
    for (const password of ['', 'wrong']) expect(() => openPkcs12(bytes, password)).toThrow(/password does not open/);
  });
});

it('says what is wrong with other files', async () => {
  expect(() => openPkcs12(Buffer.from('junk'), 'x')).toThrow(/not PKCS#12/);
  expect(() => openPkcs12(Buffer.alloc(0), 'x')).toThrow(/not PKCS#12/);
  expect(() => openPkcs12(roots.ec.der, 'x')).toThrow(/not PKCS#12/);
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'c'), roots.ec.certPem);
  execFileSync('openssl', ['pkcs12', '-export', '-nokeys', '-in', join(folder, 'c'), '-out', join(folder, 'p'), '-passout', 'pass:x'], { stdio: 'pipe' });
  const bytes = await readFile(join(folder, 'p'));
  expect(() => openPkcs12(bytes, 'x')).toThrow(/no private key/);
});

it.each(['ec', 'rsa'] as const)('damaged files are told in one line, an %s key in them as well', async (key) => {
  const plain = await packed(roots[key], [], '-keypbe', 'NONE', '-certpbe', 'NONE', '-nomac');
  // With the header whole, so that the damage gets further in.
  const [head, rest] = [plain.subarray(0, 40), plain.subarray(40)];
  const random = generator(7);
  const ends = new Set<string>();
  for (let round = 0; round < 1_500; round += 1) {
    try {
      openPkcs12(Buffer.concat([head, mutate(rest, random)]), 'sécret');
      ends.add('opened');
    } catch (error) {
      expect(error).toBeInstanceOf(IssuerError);
      ends.add(error instanceof Error ? error.message : '');
    }
  }
  expect(ends.size).toBeGreaterThan(2);
  for (const end of ends) expect(end).not.toContain('\n');
});
