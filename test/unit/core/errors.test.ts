import { describe, expect, test } from 'vitest';
import { errorCodes, errorTable, FlowError, isErrorCode, toFlowError, tunnelOnErrorAllowed, tunnelOnErrorDefault } from '../../../src/core/errors.ts';

test.each(errorCodes)('%s is told in sentences', (code) => {
  const { text, advice } = errorTable[code];
  expect(code).toMatch(/^[A-Z][A-Z0-9_]+$/);
  for (const sentence of [text, advice]) expect(sentence).toMatch(/^[A-Z].*[.)]$/);
});

test('words of configs are codes or not, whatever objects inherit', () => {
  expect([isErrorCode('NOT_TLS'), isErrorCode('not_tls'), isErrorCode('toString'), isErrorCode('')]).toEqual([true, false, false, false]);
});

describe('tunnel on error', () => {
  test('the default is what the contract says', () => {
    expect([...tunnelOnErrorDefault].sort()).toEqual([
      'FIRST_BYTES_STALLED', 'HELLO_MALFORMED', 'HELLO_TOO_LARGE', 'MINT_FAILED', 'MINT_QUEUE_FULL', 'NOT_HTTP', 'NOT_TLS', 'NO_COMMON_TLS', 'UPSTREAM_NOT_TLS',
      'UPSTREAM_TLS_ALERT', 'UPSTREAM_TLS_TIMEOUT', 'UPSTREAM_WANTS_CLIENT_CERT',
    ]);
  });

  test('never for a server\'s bad certificate, a dial, policy, an internal defect, or HTTP that two could read differently', () => {
    const stages = tunnelOnErrorAllowed.map((code) => errorTable[code].stage);
    for (const stage of ['dial', 'policy', 'admit', 'relay', 'internal'] as const) expect(stages).not.toContain(stage);
    expect(tunnelOnErrorAllowed.filter((code) => code.startsWith('UPSTREAM_CERT_') || code === 'HTTP_AMBIGUOUS')).toEqual([]);
    for (const code of tunnelOnErrorDefault) expect(tunnelOnErrorAllowed).toContain(code);
  });
});

describe('FlowError', () => {
  test('carries code, detail and cause', () => {
    const cause = new Error('why');
    const error = new FlowError('DIAL_REFUSED', '192.0.2.1', cause);
    expect(error).toMatchObject({ code: 'DIAL_REFUSED', detail: '192.0.2.1', cause, name: 'FlowError', message: `${errorTable.DIAL_REFUSED.text} (192.0.2.1)` });
    expect(new FlowError('DIAL_REFUSED')).toMatchObject({ detail: null, message: errorTable.DIAL_REFUSED.text });
    expect(new FlowError('DIAL_REFUSED')).not.toHaveProperty('cause');
  });

  test('has a stack only where it is a defect, and leaves the limit as it was', () => {
    const limit = Error.stackTraceLimit;
    expect(new FlowError('NOT_TLS').stack).not.toContain('\n    at ');
    expect(new FlowError('INTERNAL').stack).toContain('\n    at ');
    expect(Error.stackTraceLimit).toBe(limit);
  });

  test('anything else that was caught is a defect, with what it was', () => {
    const error = new FlowError('NOT_HTTP');
    expect(toFlowError(error)).toBe(error);
    const bug = new TypeError('a bug');
    expect(toFlowError(bug)).toMatchObject({ code: 'INTERNAL', detail: 'a bug', cause: bug });
    expect(toFlowError('text')).toMatchObject({ code: 'INTERNAL', detail: 'text' });
    expect(toFlowError(undefined)).toMatchObject({ code: 'INTERNAL', detail: 'undefined' });
  });
});
