// What is shown of session descriptions.

import { expect, test } from 'vitest';
import { readSdp } from '../../../src/sip/sdp.ts';

const read = (...lines: string[]) => readSdp(Buffer.from(lines.join('\r\n')));

test('addresses of the session and of media, IPv6, static and mapped codecs', () => {
  expect(read('v=0', 'o=- 1 1 IN IP4 192.0.2.9', 'c=IN IP4 192.0.2.1', 'm=audio 4000 RTP/AVP 0 8 101', 'a=rtpmap:101 telephone-event/8000', 'm=video 5000/2 RTP/AVP 31', 'c=IN IP6 2001:db8::1', 'm=image 0 udptl t38', '')).toEqual({
    media: ['audio 192.0.2.1:4000', 'video [2001:db8::1]:5000'], codecs: ['PCMU', 'PCMA', 'telephone-event', 'H261'],
  });
});

test('LF-only descriptions, a name in place of an address, media without an address', () => {
  expect(readSdp(Buffer.from('v=0\nc=IN IP4 relay.test\nm=audio 4 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n'))).toEqual({ media: ['audio relay.test:4'], codecs: ['opus'] });
  expect(read('v=0', 'm=audio 4 RTP/AVP')).toEqual({ media: ['audio 4'], codecs: [] });
});

test('bounded, and nothing odd is shown', () => {
  const many = Array.from({ length: 50 }, (_, index) => [`m=audio ${4000 + index} RTP/AVP ${index}`, `a=rtpmap:${index} codec-${index}/8000`]).flat();
  const { media, codecs } = read('v=0', ...many);
  expect([media.length, codecs.length]).toEqual([8, 8]);
  expect(read('m=<script> 1 RTP', 'm=audio x RTP', 'a=rtpmap:1 <b>/1', 'c=IN IP4 <i>')).toEqual({ media: [], codecs: [] });
  expect(read('')).toEqual({ media: [], codecs: [] });
});
