// `sallyport explain`: what a config's policy says of a described flow, stage by stage, and why. It starts nothing and dials nobody.

import { parseArgs } from 'node:util';
import { faultText, loadConfig } from '../config/load.ts';
import { explainPolicy, traceText } from '../policy/explain.ts';
import { questionKeys, readQuestion, repeatedKeys } from '../policy/explain-facts.ts';
import type { QuestionKey } from '../policy/explain-facts.ts';
import { configText } from './check.ts';
import type { Output } from './check.ts';
import { readyConfig } from './policy.ts';
import { replayLog } from './replay.ts';

const keys = Object.keys(questionKeys).filter((key): key is QuestionKey => Object.hasOwn(questionKeys, key));

const usage = `sallyport explain [-c FILE] --dst IP:PORT [facts] [--json]
       sallyport explain [-c FILE] --replay FILE [--json]

The verdict at every stage for a flow with these facts, the rule that gave it, and why the rules before it did not match.
With --replay: what this policy would change for the sessions of an access log (logging.access). What a record cannot tell is
taken to happen again; rules of the stages http, sip and turn are not asked.

  -c, --config FILE   the config; without it, the built-in one
${keys.map((key) => `      --${key.padEnd(14)}${questionKeys[key]}`).join('\n')}
      --replay FILE   an access log, one session a line
      --json          the trace, or the sums of a replay, as JSON
  -h, --help          this text
`;

/** Runs the command; answers the exit code: 0 ok, 2 bad usage or config. */
export async function run(args: readonly string[], out: Output): Promise<number> {
  const options = readOptions(args);
  if (typeof options === 'string') return refuse(out, options);
  if (options.help) {
    out.write(usage);
    return 0;
  }
  const source = await configText(options.config);
  if (typeof source === 'string') return refuse(out, source);
  const ready = readyConfig(loadConfig(source.text, source.file), source.file);
  if (!ready.ok) {
    for (const fault of ready.faults) out.write(`${faultText(fault)}\n`);
    return 2;
  }
  if (options.replay !== undefined) return await replayLog(ready.policy, options.replay, options.json, out);
  const question = readQuestion(options.question, ready.policy.options.services, Date.now());
  if (!question.ok) return refuse(out, `--${question.problem}; see sallyport explain --help`);
  const trace = explainPolicy(ready.policy, question.facts);
  out.write(options.json ? `${JSON.stringify(trace, null, 2)}\n` : `service      ${trace.service}\n${traceText(trace)}`);
  return 0;
}

interface Options {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
  readonly replay: string | undefined;
  readonly question: Readonly<Record<string, unknown>>;
}

function readOptions(args: readonly string[]): Options | string {
  const facts = Object.fromEntries(keys.map((key) => [key, { type: 'string' as const, multiple: repeatedKeys.includes(key) }]));
  try {
    const { values } = parseArgs({ args: [...args], options: { ...facts, config: { type: 'string', short: 'c' }, json: { type: 'boolean' }, replay: { type: 'string' }, help: { type: 'boolean', short: 'h' } } });
    const { config, json, help, replay, ...question } = values;
    if (typeof replay === 'string' && Object.keys(question).length > 0) return `--replay takes its facts from the log, not from --${Object.keys(question).join(', --')}`;
    return { config: typeof config === 'string' ? config : undefined, json: json === true, help: help === true, replay: typeof replay === 'string' ? replay : undefined, question };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}; see sallyport explain --help`;
  }
}

function refuse(out: Output, problem: string): 2 {
  out.write(`sallyport explain: ${problem}\n`);
  return 2;
}
