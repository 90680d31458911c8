import { describe, expect, it } from 'vitest';
import { addressBytes, randomSerial } from '../../../src/certs/ca-certificate.ts';
import { readCertificate } from '../../../src/certs/parts.ts';
import { makeIssuer } from './helpers.ts';

describe('addressBytes', () => {
  it.each([
    ['192.0.2.1', 'c0000201'], ['::', '0'.repeat(32)], ['::1', `${'0'.repeat(31)}1`], ['2001:db8::a:b', '20010db80000000000000000000a000b'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'], ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'], ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ])('%s', (text, hex) => {
    expect(addressBytes(text)?.toString('hex')).toBe(hex);
  });

  it('answers null for names and broken addresses', () => {
    for (const text of ['', 'a.example', '192.0.2', '192.0.2.256', '1:2', '::1::']) expect(addressBytes(text)).toBeNull();
  });
});

it('serials are 16 octets, positive and of constant length', () => {
  for (let count = 0; count < 300; count += 1) {
    const [first = 0] = randomSerial();
    expect(first >= 0x40 && first <= 0x7f).toBe(true);
  }
});

describe('name constraints', () => {
  const constraints = async (permitted: readonly string[]): Promise<string> =>
    readCertificate((await makeIssuer('ec', permitted)).certDer)?.extensions.get('2.5.29.30')?.value.toString('hex') ?? '';

  it('permit what is named and exclude the kinds that are not', async () => {
    const names = await constraints(['Lab.Example']);
    expect(names).toContain(Buffer.from('lab.example').toString('hex'));
    // Both address families are excluded whole.
    expect(names).toContain(`8708${'00'.repeat(8)}`);
    expect(names).toContain(`8720${'00'.repeat(32)}`);
    const networks = await constraints(['10.1.2.3/8', 'fd00::/8']);
    expect(networks).toContain('87080a000000ff000000');
    expect(networks).toContain(`8720fd${'00'.repeat(15)}ff${'00'.repeat(15)}`);
    expect(networks).toContain('8200');
  });

  it('refuse what is neither name nor network', async () => {
    for (const entry of ['10.0.0.0/33', 'x/8', '10.0.0.0/', '-bad-', 'a b', 'http://x', '']) await expect(makeIssuer('ec', [entry])).rejects.toThrow(/not a/);
  });

  it('are absent unless asked for', async () => {
    expect(await constraints([])).toBe('');
  });
});
