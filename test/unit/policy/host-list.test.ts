// List files: what a line may be, look-ups against a plain set, and bounds.

import { describe, expect, it } from 'vitest';
import { parseHostList } from '../../../src/policy/host-list.ts';

const listOf = (text: string, namesMax = 1000): ReturnType<typeof parseHostList> => parseHostList(Buffer.from(text), namesMax);

describe('parseHostList', () => {
  it('a name stands for itself and everything below it', () => {
    const { list, faults } = listOf('bank.example\n# comment\n\n  *.Health.Example.  # why\r\n.dot.example');
    expect(faults).toEqual([]);
    expect(list.count).toBe(3);
    expect(['bank.example', 'www.bank.example', 'a.b.health.example', 'health.example', 'dot.example'].every((host) => list.has(host))).toBe(true);
    expect(['xbank.example', 'bank.example.org', 'example', 'ank.example', '', '.'].some((host) => list.has(host))).toBe(false);
  });
  it('reads international names', () => expect(listOf('bücher.example\n').list.has('www.xn--bcher-kva.example')).toBe(true));
  it('counts a name once', () => expect(listOf('a.example\nA.EXAMPLE\n*.a.example\n').list.count).toBe(1));
  it('says what is no name, with its line', () => {
    const { faults } = listOf(`good.example\nhttp://x/y\ntwo names\na..b\n${'x'.repeat(64)}.example\n*\n.\n`);
    expect(faults.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(faults[0]?.problem).toBe('not a host name: "http://x/y"');
  });
  it('stops telling after some, and at the bound', () => {
    expect(listOf('!\n'.repeat(1000)).faults).toHaveLength(10);
    expect(listOf('a\nb\nc\n', 3).faults).toEqual([]);
    expect(listOf('a\nb\nb\nc\nd\n', 3).faults).toEqual([{ line: 5, problem: 'more names than limits.policyListMax (3)' }]);
  });
  it('takes the longest names, and refuses longer ones', () => {
    const label = 'x'.repeat(63);
    const longest = `${label}.${label}.${label}.${'x'.repeat(61)}`;
    expect(listOf(longest).list.has(`www.${longest}`)).toBe(true);
    expect(listOf(`${longest}x`).faults).toHaveLength(1);
  });
  it('answers as a plain set over many names', () => {
    const names = Array.from({ length: 50_000 }, (_, index) => `h${(index * 7919) % 100_003}.z${index % 97}.example`);
    const { list } = listOf(names.join('\n'), 100_000);
    const set = new Set(names);
    expect(list.count).toBe(set.size);
    for (let probe = 0; probe < 100_003; probe += 7) {
      const host = `h${probe}.z${probe % 97}.example`;
      expect(list.has(host)).toBe(set.has(host));
      expect(list.has(`www.${host}`)).toBe(set.has(host));
    }
  });
  it('an empty file is an empty list', () => expect(listOf('').list.has('a')).toBe(false));
  it('never throws on any bytes', () => {
    for (let seed = 1; seed < 300; seed += 1) {
      const bytes = Buffer.from(Array.from({ length: 200 }, (_, index) => (seed * 31 + index * index * seed) % 256));
      expect(() => parseHostList(bytes, 50)).not.toThrow();
    }
  });
});
