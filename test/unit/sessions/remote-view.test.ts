import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { limitsWith } from '../../../src/core/limits.ts';
import { ChannelError, channelTo } from '../../../src/sessions/channel.ts';
import { FilterError } from '../../../src/sessions/filter.ts';
import { remoteMetrics, renderMetrics } from '../../../src/sessions/metrics-text.ts';
import { remoteView } from '../../../src/sessions/remote-view.ts';
import { mergedView } from '../../../src/sessions/view.ts';

const children: ChildProcess[] = [];

async function startWorker(name: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'remote-view-child.ts'), [name], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  await once(child, 'message');
  return child;
}

afterEach(async () => {
  await Promise.all(children.splice(0).map(async (child) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }));
});

describe('views of forked processes', () => {
  it('list, find, kill and sum up across two real workers', async () => {
    const limits = limitsWith();
    const views = (await Promise.all(['1', '2'].map(startWorker))).map((child) => remoteView(channelTo(child), limits));
    const view = mergedView(() => views, limits);

    const page = await view.list('protocol=sips', 4, null);
    expect(page).toMatchObject({ total: 6, truncated: false });
    expect(page.sessions).toHaveLength(4);
    const rest = await view.list('protocol=sips', 4, page.cursor);
    expect(rest.sessions).toHaveLength(2);
    expect(new Set([...page.sessions, ...rest.sessions].map((session) => session.id)).size).toBe(6);

    const { mark } = await view.changes('', 100, null);
    const victim = rest.sessions[0]?.id ?? '';
    expect(await view.kill(victim)).toBe(true);
    expect(await view.kill(victim)).toBe(false);
    expect(await view.one(victim)).toMatchObject({ id: victim, error: 'KILLED_BY_OPERATOR', state: 'errored' });
    expect(await view.summary()).toMatchObject({ active: 9, closed: 1, byError: { KILLED_BY_OPERATOR: 1 } });
    expect((await view.changes('', 100, mark)).changed.map((session) => session.id)).toEqual([victim]);
    await expect(views[0]?.list('protocol=wrong', 1, null)).rejects.toMatchObject({ name: 'FilterError', key: 'protocol', allowed: expect.arrayContaining(['ms-turn']) as unknown });
    await expect(view.list('protocol=wrong', 1, null)).rejects.toBeInstanceOf(FilterError);
  });

  it('leave out a worker that is stopped, and one that has died', async () => {
    const limits = limitsWith({ workerAnswerMs: 200 });
    const [first, second] = [await startWorker('1'), await startWorker('2')];
    const views = [first, second].map((child) => remoteView(channelTo(child), limits));
    const view = mergedView(() => views, limits);
    expect(await view.list('', 100, null)).toMatchObject({ total: 10, truncated: false });

    second.kill('SIGSTOP');
    expect(await view.list('', 100, null)).toMatchObject({ total: 5, truncated: true });
    second.kill('SIGCONT');
    await expect.poll(async () => (await view.list('', 100, null)).total).toBe(10);

    const ended = once(second, 'exit');
    second.kill('SIGKILL');
    await ended;
    expect(await view.list('', 100, null)).toMatchObject({ total: 5, truncated: true });
    await expect(views[1]?.one('2-x')).rejects.toBeInstanceOf(ChannelError);
  });

  it('refuse more questions than may wait', async () => {
    const limits = limitsWith({ workerAnswerMs: 300, workerCallsMax: 3 });
    const child = await startWorker('1');
    child.kill('SIGSTOP');
    const view = remoteView(channelTo(child), limits);
    const asked = Array.from({ length: 5 }, () => view.one('1-x').catch((error: Error) => error.message));
    const answers = await Promise.all(asked);
    expect(answers.filter((message) => typeof message === 'string' && message.includes('wait for an answer already'))).toHaveLength(2);
    child.kill('SIGCONT');
    expect(await view.one('1-x')).toBeNull();
  });

  it('add up the metrics of two real workers', async () => {
    const limits = limitsWith();
    const reads = (await Promise.all(['1', '2'].map(startWorker))).map((child) => remoteMetrics(channelTo(child), limits));
    const text = await renderMetrics(await Promise.all(reads.map((read) => read())), undefined, null);
    expect(text.body).toContain('sallyport_sessions_active{service="https",protocol="sips"} 6');
    expect(text.body).toContain('sallyport_sessions_active{service="https",protocol="ms-turn"} 4');
    for (const worker of ['1', '2']) expect(text.body).toMatch(new RegExp(`^process_resident_memory_bytes\\{worker="${worker}"\\} \\d+`, 'm'));
  });
});
