// The suspect path: a hello that is nearly MS-TURN's pseudo-TLS is forwarded and judged by the server's first record. The connection
// used for that is dropped again; whatever it was, the flow goes on from the client's untouched bytes.

import type { EntryDeps } from '../core/flow.ts';
import type { Session } from '../core/session.ts';
import { Peek } from '../listener/peek.ts';
import { judgePseudoAnswer } from '../turn/hello.ts';

/** Rejects with what the dial rejects with. Silence, a closed connection and anything but a pseudo hello count as TLS. */
export async function judgeSuspect(
  hello: Buffer, session: Session, deps: Pick<EntryDeps, 'limits' | 'dialEarly' | 'dropEarly'>,
): Promise<'ms-turn' | 'tls'> {
  const server = await deps.dialEarly(session);
  server.write(hello);
  const verdict = await new Promise<'ms-turn' | 'tls'>((resolve) => {
    const timer = setTimeout(() => settle('tls'), deps.limits.pseudoHelloMs);
    const settle = (answer: 'ms-turn' | 'tls'): void => {
      clearTimeout(timer);
      peek.release();
      resolve(answer);
    };
    const judge = (): void => {
      const answer = judgePseudoAnswer(peek.bytes);
      if (answer !== 'more') settle(answer === 'ms-turn' ? 'ms-turn' : 'tls');
      else if (peek.ended || peek.error !== null) settle('tls');
    };
    const peek: Peek = new Peek(server, judge, deps.limits.peekBytesMax);
    judge();
  });
  deps.dropEarly(session);
  return verdict;
}
