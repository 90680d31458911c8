// Calls and subscriptions: states, ends, media, bounds, and the gauge.

import { beforeEach, describe, expect, test } from 'vitest';
import type { SipDialog, SipSubscription } from '../../../src/core/session.ts';
import { limitsWith } from '../../../src/core/limits.ts';
import { Dialogs, Subscriptions } from '../../../src/sip/dialogs.ts';
import { headOf, limits, message, request, response } from './support.ts';

let list: SipDialog[];
let gauge: number;
let forgotten: number;
beforeEach(() => {
  [list, gauge, forgotten] = [[], 0, 0];
});

const dialogs = (bounds = limits): Dialogs => new Dialogs(list, bounds, { changed: (step) => { gauge += step; }, forgotten: () => { forgotten += 1; } });
const invite = (callId = 'call-1') => headOf(request('INVITE', [], '', callId));
const answer = (status: number, callId = 'call-1') => headOf(response(status, 'INVITE', [], '', callId));

describe('a call', () => {
  test.each<[string, number[], SipDialog['state'], number]>([
    ['tries', [], 'trying', 1], ['100 tells nothing', [100], 'trying', 1], ['rings', [100, 180], 'ringing', 1], ['early media', [183], 'ringing', 1], ['is confirmed', [180, 200], 'confirmed', 1],
    ['is busy', [180, 486], 'failed', 0], ['is cancelled', [487], 'failed', 0], ['is redirected', [302], 'failed', 0], ['is challenged', [401], 'trying', 1], ['is challenged by a proxy', [407], 'trying', 1],
    ['late answers of other branches change nothing', [200, 180, 486], 'confirmed', 1],
  ])('%s', (_name, statuses, state, watched) => {
    const watch = dialogs();
    watch.invite(invite());
    for (const status of statuses) watch.invited(answer(status));
    expect([list.map((row) => row.state), gauge]).toEqual([[state], watched]);
  });

  test('ends by BYE from either side, once, and may begin again', () => {
    const watch = dialogs();
    watch.invite(invite());
    watch.invited(answer(200));
    watch.invite(invite());
    expect(list).toHaveLength(1);
    watch.bye(headOf(request('BYE')));
    watch.bye(headOf(request('BYE')));
    expect([list[0]?.state, gauge, watch.dialogOf(invite())]).toEqual(['ended', 0, null]);
    watch.invite(invite());
    expect([list.length, gauge]).toEqual([2, 1]);
  });

  test('names its parties and describes its media; a later description replaces its side\'s', () => {
    const watch = dialogs();
    watch.invite(invite());
    const sdp = (address: string, codecs: string) => Buffer.from(`v=0\r\nc=IN IP4 ${address}\r\nm=audio 4 RTP/AVP ${codecs}\r\n`);
    const dialog = watch.dialogOf(invite());
    if (dialog === null) throw new Error('not watched');
    watch.describe(dialog, 'client', sdp('10.0.0.1', '0 8'));
    expect(list).toMatchObject([{ from: 'sip:alice@contoso.test', to: 'sip:bob@contoso.test', media: ['audio 10.0.0.1:4'], codecs: ['PCMU', 'PCMA'] }]);
    watch.describe(dialog, 'upstream', sdp('10.0.0.2', '8'));
    expect(list).toMatchObject([{ media: ['audio 10.0.0.1:4', 'audio 10.0.0.2:4'], codecs: ['PCMA'] }]);
    watch.describe(dialog, 'client', sdp('10.0.0.3', '8'));
    expect(list[0]?.media).toEqual(['audio 10.0.0.3:4', 'audio 10.0.0.2:4']);
    expect(watch.dialogOf(invite('other'))).toBeNull();
  });
});

describe('a forked call', () => {
  const from = (status: number, tag: string) => headOf(Buffer.from(response(status, 'INVITE').toString().replace('tag=b1', `tag=${tag}`)));
  const bye = (to: string, fromTag = 'a1') => headOf(message(['BYE sip:b@c SIP/2.0', `From: <sip:a@b>;tag=${fromTag}`, `To: <sip:b@c>;tag=${to}`, 'Call-ID: call-1', 'CSeq: 2 BYE']));
  const states = (): SipDialog['state'][] => list.map((row) => row.state);

  test('has a row for each callee that rings; one picks up, the others are over', () => {
    const watch = dialogs();
    watch.invite(invite());
    for (const [status, tag] of [[180, 'desk'], [183, 'mobile'], [180, 'desk']] as const) watch.invited(from(status, tag));
    expect([states(), gauge]).toEqual([['ringing', 'ringing'], 2]);
    watch.invited(from(200, 'mobile'));
    expect([states(), gauge]).toEqual([['failed', 'confirmed'], 1]);
    watch.bye(bye('mobile'));
    expect([states(), gauge]).toEqual([['failed', 'ended'], 0]);
  });

  test('two that pick up are two dialogs, each ended by its own BYE, from either side', () => {
    const watch = dialogs();
    watch.invite(invite());
    watch.invited(from(200, 'desk'));
    watch.invited(from(200, 'mobile'));
    expect([states(), gauge]).toEqual([['confirmed', 'confirmed'], 2]);
    watch.bye(bye('a1', 'desk'));
    expect([states(), gauge]).toEqual([['ended', 'confirmed'], 1]);
    watch.bye(bye('mobile'));
    expect([states(), gauge]).toEqual([['ended', 'ended'], 0]);
  });

  test('a refusal ends every branch; a BYE that fits none ends all', () => {
    const watch = dialogs();
    watch.invite(invite());
    for (const tag of ['desk', 'mobile']) watch.invited(from(180, tag));
    watch.invited(from(486, 'proxy'));
    expect([states(), gauge]).toEqual([['failed', 'failed'], 0]);
    watch.invite(invite());
    for (const tag of ['desk', 'mobile']) watch.invited(from(200, tag));
    watch.bye(bye('nobody', 'somebody'));
    expect([states().slice(2), gauge]).toEqual([['ended', 'ended'], 0]);
  });

  test('every branch begins with the offer and has its own answer', () => {
    const watch = dialogs();
    const describe = (head: ReturnType<typeof headOf>, side: 'client' | 'upstream', address: string): void => {
      const dialog = watch.dialogOf(head);
      if (dialog === null) throw new Error('not watched');
      watch.describe(dialog, side, Buffer.from(`v=0\r\nc=IN IP4 ${address}\r\nm=audio 4 RTP/AVP 8\r\n`));
    };
    watch.invite(invite());
    describe(invite(), 'client', '10.0.0.1');
    for (const [tag, address] of [['desk', '10.0.0.2'], ['mobile', '10.0.0.3']] as const) {
      watch.invited(from(183, tag));
      describe(from(183, tag), 'upstream', address);
    }
    expect(list.map(({ media }) => media)).toEqual([['audio 10.0.0.1:4', 'audio 10.0.0.2:4'], ['audio 10.0.0.1:4', 'audio 10.0.0.3:4']]);
  });

  test('full: further branches share the first row, and a new call makes room', () => {
    const watch = dialogs(limitsWith({ sipDialogsMax: 2 }));
    watch.invite(invite());
    for (const tag of ['one', 'two', 'three']) watch.invited(from(180, tag));
    expect([list.length, gauge, forgotten]).toEqual([2, 2, 0]);
    watch.invite(invite('call-2'));
    expect([list.length, gauge, forgotten]).toEqual([3, 1, 1]);
  });
});

test('full: the oldest call is forgotten; the list keeps live calls longest', () => {
  const watch = dialogs(limitsWith({ sipDialogsMax: 3, sessionDetailsMax: 3 }));
  for (const callId of ['a', 'b', 'c']) watch.invite(invite(callId));
  watch.bye(headOf(request('BYE', [], '', 'b')));
  for (const callId of ['d', 'e']) watch.invite(invite(callId));
  expect([gauge, forgotten, list.map((row) => row.callId)]).toEqual([3, 1, ['c', 'd', 'e']]);
  watch.close();
  expect(gauge).toBe(0);
});

describe('a subscription', () => {
  const subscribe = (more: readonly string[] = []) => headOf(request('SUBSCRIBE', ['Event: presence;id=1', ...more]));
  const subscribed = (status: number, more: readonly string[] = []) => headOf(response(status, 'SUBSCRIBE', more));
  const notify = (state: string) => headOf(request('NOTIFY', [`Subscription-State: ${state}`]));

  test.each<[string, (watch: Subscriptions) => void, Partial<SipSubscription>]>([
    ['is asked for', () => undefined, { event: 'presence', state: 'pending', expiresSeconds: null }],
    ['is granted', (watch) => watch.subscribed(subscribed(200, ['Expires: 60'])), { state: 'active', expiresSeconds: 60 }],
    ['is challenged', (watch) => watch.subscribed(subscribed(401)), { state: 'pending' }],
    ['is refused', (watch) => watch.subscribed(subscribed(489)), { state: 'failed' }],
    ['is ended by its side', (watch) => { watch.subscribed(subscribed(200, ['Expires: 60'])); watch.subscribe(subscribe(['Expires: 0'])); watch.subscribed(subscribed(200)); }, { state: 'terminated', expiresSeconds: 0 }],
    ['is notified', (watch) => watch.notify(notify('Active ;expires=30')), { state: 'active', expiresSeconds: 30 }],
    ['is ended by the server', (watch) => watch.notify(notify('terminated;reason=timeout')), { state: 'terminated' }],
    ['hears an unknown state', (watch) => watch.notify(notify('odd')), { state: 'pending' }],
  ])('%s', (_name, act, expected) => {
    const rows: SipSubscription[] = [];
    const watch = new Subscriptions(rows, limits);
    watch.subscribe(subscribe());
    act(watch);
    expect(rows).toMatchObject([expected]);
  });

  test('notifications of nothing are nothing', () => {
    const rows: SipSubscription[] = [];
    new Subscriptions(rows, limits).notify(notify('active'));
    expect(rows).toEqual([]);
  });
});
