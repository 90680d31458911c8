// The words of core/session.ts are words of the session filter.

import { expect, test } from 'vitest';
import { actions, sessionStates } from '../../../src/core/session.ts';
import { FilterError, parseFilter } from '../../../src/sessions/filter.ts';

test.each(actions)('action=%s filters', (action) => {
  expect(parseFilter(`action=${action}`)).not.toBeInstanceOf(FilterError);
});

test.each(sessionStates)('state=%s filters', (state) => {
  expect(parseFilter(`state=${state}`)).not.toBeInstanceOf(FilterError);
});
