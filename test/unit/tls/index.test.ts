import { expect, test } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { tls } from '../../../src/tls/index.ts';
import { isClientHello } from '../../../src/tls/client-hello.ts';
import { helloBytes, helloFiles } from '../../support/client-hellos.ts';

test('every real hello is found, and its facts are a hello', () => {
  for (const file of helloFiles) {
    const found = tls.detect(helloBytes(file), 'client', limitsWith());
    expect([file, typeof found === 'object' && isClientHello(found.facts)]).toEqual([file, true]);
  }
});

test('a server that speaks first is not TLS', () => {
  expect(tls.detect(Buffer.from('220 mail.test ESMTP\r\n'), 'upstream', limitsWith())).toBe('no');
});
