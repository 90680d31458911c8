// Rates from counts: over the time since the last one, the highest kept, nothing once it is over.

import { expect, it } from 'vitest';
import type { TurnDetails } from '../../../src/core/session.ts';
import { DataRates, noRate } from '../../../src/turn/rates.ts';

function details(): TurnDetails {
  return {
    allocations: [], peers: {}, messages: {}, dataFrames: { toUpstream: 0, toClient: 0 }, dataBytes: { toUpstream: 0, toClient: 0 },
    dataRates: { toUpstream: noRate(), toClient: noRate() }, errors: {}, version: null, activeDestination: null, rtpSeen: false, opaque: null,
  };
}

it('now and at most', () => {
  const shown = details();
  const rates = new DataRates(shown, 1_000);
  shown.dataFrames.toUpstream = 250;
  shown.dataBytes.toUpstream = 43_000;
  rates.tick(6_000);
  expect(shown.dataRates).toEqual({ toUpstream: { frames: 50, bytes: 8_600, framesMax: 50, bytesMax: 8_600 }, toClient: noRate() });
  shown.dataFrames.toUpstream += 10;
  shown.dataFrames.toClient += 5;
  rates.tick(11_000);
  expect(shown.dataRates).toEqual({ toUpstream: { frames: 2, bytes: 0, framesMax: 50, bytesMax: 8_600 }, toClient: { frames: 1, bytes: 0, framesMax: 1, bytesMax: 0 } });
  rates.end(13_000);
  expect(shown.dataRates).toEqual({ toUpstream: { frames: 0, bytes: 0, framesMax: 50, bytesMax: 8_600 }, toClient: { frames: 0, bytes: 0, framesMax: 1, bytesMax: 0 } });
});

it('a burst of less than a second counts as one, and a clock that went back does no harm', () => {
  const shown = details();
  const rates = new DataRates(shown, 1_000);
  shown.dataFrames.toClient = 40;
  rates.tick(1_010);
  expect(shown.dataRates.toClient.frames).toBe(40);
  shown.dataFrames.toClient = 70;
  rates.tick(900);
  expect(shown.dataRates.toClient.frames).toBe(30);
});
