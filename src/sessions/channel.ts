// Questions and answers between processes over a message channel such as node:cluster's: numbered, bounded in number and
// time. Several topics share one channel; messages of others pass unseen. A fault crosses as its name and message.

import type { Limits } from '../core/limits.ts';
import { FilterError } from './filter.ts';

/** The least of what a process or worker offers. Messages are plain data. */
export interface MessageChannel {
  /** Sends, or throws when the other side is gone. */
  send(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
}

/** What can be asked of a topic, by name. */
export type CallTable = Readonly<Record<string, (...args: readonly unknown[]) => Promise<unknown>>>;

/** Asks the other side; rejects with FilterError as thrown there, else with ChannelError. */
export type Ask = (call: string, ...args: readonly unknown[]) => Promise<unknown>;

/** The other side did not answer in time, has too many questions waiting, is gone, or failed. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError';
}

interface Question {
  readonly sallyport: 'ask';
  readonly topic: string;
  readonly number: number;
  readonly call: string;
  readonly args: readonly unknown[];
}

interface Answer {
  readonly sallyport: 'answer';
  readonly topic: string;
  readonly number: number;
  readonly value?: unknown;
  readonly fault?: { readonly name: string; readonly message: string; readonly key?: string; readonly allowed?: readonly string[] };
}

/** Answers the questions of one topic. */
export function serveCalls(channel: MessageChannel, topic: string, calls: CallTable): void {
  channel.onMessage((message) => {
    if (!isQuestion(message) || message.topic !== topic) return;
    const { number, call, args } = message;
    const answer = (rest: Pick<Answer, 'value'> | Pick<Answer, 'fault'>): void => {
      try {
        channel.send({ sallyport: 'answer', topic, number, ...rest } satisfies Answer);
      } catch {
        // The asker is gone, and with it the need for an answer.
      }
    };
    const handler = Object.hasOwn(calls, call) ? calls[call] : undefined;
    if (handler === undefined) {
      answer({ fault: { name: 'ChannelError', message: `nobody answers ${topic}.${call}` } });
      return;
    }
    handler(...args).then((value) => answer({ value }), (caught: unknown) => answer({ fault: faultOf(caught) }));
  });
}

/** Asks questions of one topic. At most workerCallsMax wait, each for workerAnswerMs. */
export function askOver(channel: MessageChannel, topic: string, limits: Limits): Ask {
  const waiting = new Map<number, (answer: Answer | ChannelError) => void>();
  let last = 0;
  channel.onMessage((message) => {
    if (isAnswer(message) && message.topic === topic) waiting.get(message.number)?.(message);
  });
  return (call, ...args) => new Promise((resolve, reject) => {
    if (waiting.size >= limits.workerCallsMax) {
      reject(new ChannelError(`${waiting.size} questions wait for an answer already`));
      return;
    }
    const number = ++last;
    const timer = setTimeout(() => settle(new ChannelError(`no answer to ${topic}.${call} in time`)), limits.workerAnswerMs);
    const settle = (answer: Answer | ChannelError): void => {
      clearTimeout(timer);
      waiting.delete(number);
      if (answer instanceof ChannelError) reject(answer);
      else if (answer.fault !== undefined) reject(errorOf(answer.fault));
      else resolve(answer.value);
    };
    waiting.set(number, settle);
    try {
      channel.send({ sallyport: 'ask', topic, number, call, args } satisfies Question);
    } catch (caught) {
      settle(new ChannelError('the other side is gone', { cause: caught }));
    }
  });
}

/** What node:cluster's Worker, a ChildProcess and `process` of a forked process have in common. */
interface Peer {
  send?(message: object, handle?: undefined, options?: undefined, callback?: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

/** The channel to a worker, a forked process, or (from within one) its parent. */
export function channelTo(peer: Peer): MessageChannel {
  return {
    send(message) {
      if (peer.send === undefined) throw new ChannelError('there is no channel to the other process');
      if (typeof message !== 'object' || message === null) throw new ChannelError('only objects are sent');
      // With a callback, a channel that closes meanwhile is no `error` event: the question then runs out of time.
      peer.send(message, undefined, undefined, () => undefined);
    },
    onMessage(listener) {
      peer.on('message', listener);
    },
  };
}

function isQuestion(message: unknown): message is Question {
  return typeof message === 'object' && message !== null && 'sallyport' in message && message.sallyport === 'ask'
    && 'topic' in message && 'number' in message && 'call' in message && typeof message.call === 'string'
    && 'args' in message && Array.isArray(message.args);
}

function isAnswer(message: unknown): message is Answer {
  return typeof message === 'object' && message !== null && 'sallyport' in message && message.sallyport === 'answer'
    && 'topic' in message && 'number' in message && typeof message.number === 'number';
}

function faultOf(caught: unknown): NonNullable<Answer['fault']> {
  if (caught instanceof FilterError) return { name: caught.name, message: caught.message, key: caught.key, allowed: caught.allowed };
  return caught instanceof Error ? { name: caught.name, message: caught.message } : { name: 'Error', message: String(caught) };
}

function errorOf(fault: NonNullable<Answer['fault']>): Error {
  if (fault.name === 'FilterError') return new FilterError(fault.message, fault.key ?? '', fault.allowed ?? []);
  return new ChannelError(fault.message);
}
