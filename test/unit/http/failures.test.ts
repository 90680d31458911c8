import { expect, test } from 'vitest';
import { FlowError } from '../../../src/core/errors.ts';
import { answerStatus, brokenRequest } from '../../../src/http/failures.ts';

test('a server\'s broken message is 502, everything else has the status of its code', () => {
  expect([answerStatus(new FlowError('HTTP_AMBIGUOUS')), answerStatus(new FlowError('HTTP_MALFORMED')), answerStatus(new FlowError('DIAL_TIMEOUT'))]).toEqual([502, 502, null]);
});

test('a request that could not be read ends its connection', () => {
  expect(brokenRequest(5)).toMatchObject({ startedAt: 5, ours: true, closeAfter: true, persists: false });
});
