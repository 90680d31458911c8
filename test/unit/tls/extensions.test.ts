import { describe, expect, it } from 'vitest';
import { extensionOids, extensionsOf, pathLengthOf } from '../../../src/tls/extensions.ts';
import { issueServer, makeIntermediate, makeRoot } from '../../support/certs.ts';

const root = makeRoot('Root');

describe('extensionsOf', () => {
  it('lists OIDs, criticality and values', () => {
    const leaf = issueServer(root, { names: ['a.example'], extensions: [{ oid: '1.2.3.4', critical: true, value: Buffer.from('0500', 'hex') }] });
    const found = extensionsOf(leaf.der) ?? [];
    expect(found.map((one) => [one.oid, one.critical])).toContainEqual(['2a0304', true]);
    expect(found.map((one) => [one.oid, one.critical])).toContainEqual([extensionOids.subjectAltName, false]);
    expect(found.find((one) => one.oid === '2a0304')?.value).toEqual(Buffer.from('0500', 'hex'));
  });

  it('finds none in a version 1 certificate', () => {
    expect(extensionsOf(issueServer(root, { names: ['a.example'], version: 0 }).der)).toEqual([]);
  });

  it('answers null for every truncation and never throws on changed bytes', () => {
    const leaf = issueServer(root, { names: ['a.example'] }).der;
    for (let length = 0; length < leaf.length; length += 1) expect(extensionsOf(leaf.subarray(0, length))).toBeNull();
    for (let at = 0; at < leaf.length; at += 1) {
      const changed = Buffer.from(leaf);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      expect(() => extensionsOf(changed)).not.toThrow();
    }
  });
});

describe('pathLengthOf', () => {
  it('reads a path length, and null where there is none', () => {
    const value = (pathLength: number | null): Buffer | undefined =>
      extensionsOf(makeIntermediate(root, 'I', { pathLength }).der)?.find((one) => one.oid === extensionOids.basicConstraints)?.value;
    expect(pathLengthOf(value(3) ?? Buffer.alloc(0))).toBe(3);
    expect(pathLengthOf(value(null) ?? Buffer.alloc(0))).toBeNull();
    expect(pathLengthOf(Buffer.from('30', 'hex'))).toBeNull();
  });
});
