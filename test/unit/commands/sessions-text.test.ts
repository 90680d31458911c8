import { describe, expect, it } from 'vitest';
import { bytesText, clean, spanText, tableLines } from '../../../src/commands/sessions-text.ts';
import { init, live, testTable } from '../sessions/support.ts';

describe('the sessions table as text', () => {
  it('shows names, protocol, action, bytes, rule and error', () => {
    const test = testTable();
    const session = test.table.open(init({ sni: 'sip.contoso.com' }), live({ fromClient: 1536, toClient: 3 }));
    Object.assign(session, { protocol: 'sips', action: 'handoff', rule: 'protocol/default' });
    test.now += 250_000;
    test.table.close(session, 'IDLE_TIMEOUT', 'after 60 minutes');
    const [heading, row] = tableLines([session], null);
    expect(heading).toMatch(/^STARTED +ID +CLIENT +DESTINATION +PROTOCOL +ACTION +TO SERVER +TO CLIENT +LASTED +RULE \/ ERROR$/);
    expect(row).toMatch(/10\.1\.2\.3:40000 +sip\.contoso\.com:443 +sips +handoff +1\.5k +3 +4m10s +protocol\/default {2}IDLE_TIMEOUT \(after 60 minutes\)$/);
  });

  it('keeps to the width it is given, and to one line a session', () => {
    const { table } = testTable();
    const sessions = ['a'.repeat(300), 'b\nc\u001b[2J\u202ed', '2001:db8::1'].map((host) => table.open(init({ destination: { ip: null, port: 443, host } }), live()));
    for (const width of [20, 80, 200]) {
      const lines = tableLines(sessions, width);
      expect(lines).toHaveLength(4);
      for (const line of lines) {
        expect(line.length).toBeLessThanOrEqual(width);
        expect(line).toBe(clean(line));
      }
    }
    expect(tableLines(sessions, null).join('\n')).toContain('[2001:db8::1]:443');
  });

  it('writes bytes and spans short', () => {
    expect([0, 1023, 1024, 1536, 102_400, 1_048_576, 5_000_000_000].map(bytesText)).toEqual(['0', '1023', '1.0k', '1.5k', '100k', '1.0M', '4.7G']);
    expect([0, 999, 1_000, 59_900, 60_000, 250_000, 3_600_000, 90_000_000].map(spanText)).toEqual(['0ms', '999ms', '1.0s', '59.9s', '1m00s', '4m10s', '1h00m', '25h00m']);
  });
});
