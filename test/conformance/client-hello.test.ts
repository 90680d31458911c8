// Every real hello against what independent tools say of it; at every split of its bytes and in records of every size.

import { describe, expect, test } from 'vitest';
import { limitsWith } from '../../src/core/limits.ts';
import { detectTls, isClientHello, readClientHello } from '../../src/tls/client-hello.ts';
import type { ClientHello } from '../../src/tls/client-hello.ts';
import { ja3, ja4 } from '../../src/tls/fingerprint.ts';
import { expectedHellos, helloBytes, helloFiles, inRecords } from '../support/client-hellos.ts';

const limits = limitsWith();

function facts(bytes: Buffer): ClientHello {
  const found = detectTls(bytes, 'client', limits);
  if (typeof found === 'string' || !isClientHello(found.facts)) throw new Error(`no hello: ${String(found)}`);
  return found.facts;
}

const hex = (numbers: readonly number[]): string[] => numbers.map((number) => `0x${number.toString(16).padStart(4, '0')}`);
const versionName = (number: number): string => ({ 0x0301: 'TLSv1.0', 0x0302: 'TLSv1.1', 0x0303: 'TLSv1.2', 0x0304: 'TLSv1.3' })[number] ?? 'unknown';
const toolName = (version: string | null): string | null => (version === 'TLSv1' ? 'TLSv1.0' : version);

test('every hello file has its expectations', () => {
  expect(expectedHellos.map((entry) => entry.file).sort()).toEqual([...helloFiles].sort());
  expect(helloFiles.length).toBeGreaterThanOrEqual(14);
});

describe.each(expectedHellos)('$file', ({ file, expect: expected }) => {
  const bytes = helloBytes(file);

  test('is read as other tools read it', () => {
    const hello = facts(bytes);
    expect(hello.problem).toBeNull();
    expect(hello.format).toBe('tls');
    expect(hello.length).toBe(expected.raw_len);
    expect(versionName(hello.recordVersion)).toBe(expected.record_version);
    expect(versionName(hello.legacyVersion)).toBe(expected.legacy_version);
    if (expected.supported_versions !== null) expect(hello.versions.map(toolName)).toEqual(expected.supported_versions);
    else expect(hello.supportedVersions).toBeNull();
    expect(toolName(hello.maxVersion)).toBe(expected.max_version);
    expect(hello.sni).toBe(expected.sni);
    expect(hello.alpn).toEqual(expected.alpn);
    expect(hello.ciphers).toHaveLength(expected.n_ciphers);
    expect(hello.extensions).toHaveLength(expected.n_extensions);
    expect(hex(hello.groups)).toEqual(expected.groups);
    expect(hex(hello.keyShares)).toEqual(expected.key_shares);
    expect(hex(hello.signatureAlgorithms)).toEqual(expected.sigalgs);
    expect(hello.sessionIdBytes).toBe(expected.session_id_len);
    expect(hello.hasEch).toBe(expected.features.includes('ech'));
    expect(hello.greaseSeen).toBe(expected.features.includes('grease'));
    expect(hello.extensions.includes(0)).toBe(!expected.features.includes('no_sni'));
    expect(hello.hasExtensionsBlock).toBe(true);
  });

  test('has the fingerprints other tools compute', () => {
    const hello = facts(bytes);
    expect(ja3(hello)).toEqual({ hash: expected.ja3, text: expected.ja3_string });
    expect(ja4(hello)).toBe(expected.ja4);
  });

  test('is judged the same at every split', () => {
    for (let length = 0; length < bytes.length; length += 1) expect(detectTls(bytes.subarray(0, length), 'client', limits)).toBe('more');
    const whole = facts(bytes);
    expect(facts(Buffer.concat([bytes, Buffer.from('what follows the hello')]))).toEqual(whole);
  });

  test('is read the same in records of every size', () => {
    const whole = facts(bytes);
    for (let size = 1; size < bytes.length - 5; size += 1) {
      const records = inRecords(bytes, size);
      const { length, ...rest } = facts(records);
      expect({ ...rest, length: whole.length }).toEqual(whole);
      expect(length).toBe(records.length);
    }
  });

  test('in records of one byte, is judged the same at every split', () => {
    const records = inRecords(bytes, 1);
    for (let length = 0; length < records.length; length += 1) expect(readClientHello(records.subarray(0, length), limits)).toBe('more');
  });

  test('is no client\'s hello when a server sends it', () => {
    expect(detectTls(bytes, 'upstream', limits)).toBe('no');
  });
});
