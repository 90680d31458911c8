// Framing faults: codes, and limits that exist.

import { expect, test } from 'vitest';
import { limitNames } from '../../../src/core/limits.ts';
import { malformed, tooLarge } from '../../../src/sip/faults.ts';

test('what is too large names its limit; what is malformed has none', () => {
  for (const fault of Object.values(tooLarge)) {
    expect(fault.code).toBe('SIP_TOO_LARGE');
    expect(limitNames).toContain(fault.limit);
  }
  expect(malformed('why')).toEqual({ code: 'SIP_MALFORMED', detail: 'why', limit: null });
});
