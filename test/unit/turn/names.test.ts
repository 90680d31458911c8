// Names and numbers: what is shared by number but not by meaning.

import { describe, expect, it } from 'vitest';
import { attributeName, messageName, msAttributes, msTypes, rfcAttributes, turnMessageNames } from '../../../src/turn/names.ts';

describe('message names', () => {
  it('the same number means different things', () => {
    expect([0x0003, 0x0004, 0x0006, 0x0113, 0x0115, 0x0116].map((type) => [messageName('ms', type), messageName('rfc', type)])).toEqual([
      ['allocate', 'allocate'], ['send', 'refresh'], ['set-active-destination', 'send'], ['allocate-error', 'allocate-error'],
      ['data-indication', 'other'], ['set-active-destination-error', 'send-error'],
    ]);
  });

  it('RFC class bits make request, indication, response and error', () => {
    expect([0x0001, 0x0011, 0x0101, 0x0111, 0x0016, 0x0017, 0x001c, 0x0109].map((type) => messageName('rfc', type))).toEqual([
      'binding', 'binding-indication', 'binding-response', 'binding-error', 'send-indication', 'data-indication', 'connection-attempt-indication', 'channel-bind-response',
    ]);
    expect(messageName('rfc', 0x0fff)).toBe('other');
    expect(messageName('ms', 0x0104)).toBe('other');
  });

  it('the list of words is closed and holds each once', () => {
    const names = turnMessageNames();
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining([...Object.keys(msTypes), 'channel-data', 'data-frame', 'opaque', 'other']));
  });
});

describe('attribute names', () => {
  it('realm and nonce are swapped between the dialects', () => {
    expect([msAttributes.nonce, msAttributes.realm]).toEqual([rfcAttributes.realm, rfcAttributes.nonce]);
    expect(attributeName('ms', 0x0014)).toBe('nonce');
    expect(attributeName('rfc', 0x0014)).toBe('realm');
    expect(attributeName('ms', 0x8050)).toBe('ms-sequence-number');
    expect(attributeName('rfc', 0x7777)).toBe('0x7777');
  });
});
