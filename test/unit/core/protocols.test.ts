import { describe, expect, test } from 'vitest';
import { detectedNames, protocolNames, protocolRows, protocolStates, protocolWords, shownName } from '../../../src/core/protocols.ts';

test('detection asks the pseudo hellos before TLS, whose records they imitate', () => {
  expect(detectedNames.indexOf('ms-turn')).toBeLessThan(detectedNames.indexOf('tls'));
  expect(detectedNames.indexOf('ssltcp')).toBeLessThan(detectedNames.indexOf('tls'));
});

test('names are what the contract lists, each once', () => {
  expect([...protocolNames].sort()).toEqual(['h2', 'http', 'https', 'ms-turn', 'pending', 'sip', 'sips', 'ssltcp', 'tls', 'turn', 'turns', 'undetected', 'unknown']);
  expect(new Set(protocolNames).size).toBe(protocolNames.length);
});

test.each([
  ['http', 'http', 'https'], ['sip', 'sip', 'sips'], ['turn', 'turn', 'turns'], ['ms-turn', 'ms-turn', 'ms-turn'], ['h2', 'h2', 'h2'], ['tls', 'tls', 'tls'],
] as const)('%s is shown as %s, inside TLS as %s', (row, plain, overTls) => {
  expect([shownName(row, false), shownName(row, true)]).toEqual([plain, overTls]);
});

describe('words', () => {
  test.each([
    ['https', ['h2', 'https']], ['https-h1', ['https']], ['http-any', ['h2', 'http', 'https']], ['sip-any', ['sip', 'sips']],
    ['turn-any', ['ms-turn', 'ssltcp', 'turn', 'turns']], ['tls-any', ['h2', 'https', 'sips', 'tls', 'turns']], ['http', ['http']], ['unknown', ['unknown']],
  ])('%s', (word, names) => {
    expect([...(protocolWords.get(word) ?? [])].sort()).toEqual(names);
  });

  test('every name is a word, every group of a row is a word, and words stand for names alone', () => {
    for (const name of [...protocolNames, ...detectedNames.flatMap((row) => protocolRows[row].groups)]) expect(protocolWords.has(name)).toBe(true);
    for (const names of protocolWords.values()) for (const name of names) expect(protocolNames).toContain(name);
    for (const state of Object.keys(protocolStates)) expect(protocolWords.get(state)).toEqual([state]);
  });
});
