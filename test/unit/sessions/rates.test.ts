import { describe, expect, it } from 'vitest';
import { Rates } from '../../../src/sessions/rates.ts';

describe('rates of ended sessions', () => {
  it('average over the last minute and forget what is older', () => {
    const rates = new Rates();
    const start = 1_700_000_000_000;
    for (let second = 0; second < 60; second += 1) rates.add(start + second * 1000, 'https', 'intercept', second % 2 === 0 ? 'IDLE_TIMEOUT' : null, 100);
    const now = rates.read(start + 59_000);
    expect(now.sessions).toBe(1);
    expect(now.bytes).toBe(100);
    expect(now.byProtocol).toEqual({ https: 1 });
    expect(now.byError).toEqual({ IDLE_TIMEOUT: 0.5 });
    expect(rates.read(start + 89_000).sessions).toBeCloseTo(0.5, 5);
    expect(rates.read(start + 200_000)).toMatchObject({ sessions: 0, bytes: 0, byProtocol: {} });
  });

  it('starts a slot afresh when its turn comes again', () => {
    const rates = new Rates();
    rates.add(1_700_000_000_000, 'sips', null, null, 6);
    rates.add(1_700_000_000_000 + 60_000, 'tls', null, null, 6);
    expect(rates.read(1_700_000_000_000 + 60_000).byProtocol).toEqual({ tls: 1 / 60 });
  });
});
