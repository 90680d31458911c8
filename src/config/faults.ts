// Turns what the schema found wrong into faults an operator can act on: a path, a plain problem, and for unknown keys what was
// meant. It knows zod's issues; it never knows files or lines.

import type { z } from 'zod';
import { configJsonSchema } from './schema.ts';

/** Keys and indices from the document's root. */
export type Path = readonly (string | number)[];

/** What is wrong at one place of the config. `onKey`: the place is the key itself, not its value. */
export interface SchemaFault {
  readonly at: Path;
  readonly problem: string;
  readonly onKey: boolean;
}

/** `services[0].type` for ['services', 0, 'type']; the root is `config`. */
export function pathText(path: Path): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
  return text === '' ? 'config' : text.replace(/^\./, '');
}

/** All faults of a failed parse; `raw` is the value that was judged. */
export function schemaFaults(issues: readonly z.core.$ZodIssue[], raw: unknown): SchemaFault[] {
  return issues.flatMap((issue) => issueFaults(issue, [], raw));
}

function issueFaults(issue: z.core.$ZodIssue, base: Path, raw: unknown): SchemaFault[] {
  const at: Path = [...base, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ at: [...at, key], problem: unknownKey(at, key, raw), onKey: true }));
  if (issue.code === 'invalid_union') {
    const branch = bestBranch(issue.errors, valueAt(raw, at));
    if (branch !== undefined) return branch.flatMap((inner) => issueFaults(inner, at, raw));
  }
  if (issue.code === 'invalid_key') return [{ at, problem: issue.issues[0]?.message ?? issue.message, onKey: true }];
  return [{ at, problem: problemText(issue, valueAt(raw, at)), onKey: false }];
}

/**
 * The alternative the writer most likely meant: the one that fails deepest inside the value, else one whose type fits.
 * Undefined when every alternative wants another type: then the union speaks for itself.
 */
function bestBranch(branches: readonly (readonly z.core.$ZodIssue[])[], value: unknown): readonly z.core.$ZodIssue[] | undefined {
  const fitting = branches.filter((branch) => branch.length > 0 && !branch.some((issue) => issue.path.length === 0 && wrongType(issue)));
  const deep = (branch: readonly z.core.$ZodIssue[]): number => Math.max(...branch.map((issue) => issue.path.length));
  if (Array.isArray(value)) return fitting.find((branch) => deep(branch) > 0) ?? fitting[0];
  return [...fitting].sort((a, b) => deep(b) - deep(a))[0];
}

function wrongType(issue: z.core.$ZodIssue): boolean {
  if (issue.code === 'invalid_type') return true;
  if (issue.code === 'invalid_union') return issue.errors.every((branch) => branch.some((inner) => inner.path.length === 0 && wrongType(inner)));
  // A literal or enum of a union (`off`, `auto`) does not say that the other alternative is wrong.
  return issue.code === 'invalid_value' && issue.values.length < enumFewest;
}

/** Enums with fewer words than this are special words beside a free value. */
const enumFewest = 3;

function problemText(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      if (value === undefined) return `is missing; expected ${article(issue.expected)}`;
      return `expected ${article(issue.expected)}, found ${shown(value)}`;
    case 'invalid_value':
      if (!issue.message.startsWith('Invalid ')) return issue.message;
      return value === undefined ? `is missing; expected one of ${issue.values.join(', ')}` : `expected one of ${issue.values.join(', ')}; found ${shown(value)}`;
    case 'too_small':
      return issue.message.startsWith('Too small') ? `${shown(value)} is too small: at least ${issue.minimum}` : issue.message;
    case 'too_big':
      return issue.message.startsWith('Too big') ? `${shown(value)} is too large: at most ${issue.maximum}` : issue.message;
    case 'invalid_format':
      return `${issue.message}; found ${shown(value)}`;
    case 'custom':
      return typeof value === 'string' ? `${issue.message}; found ${shown(value)}` : issue.message;
    case 'invalid_union':
      return issue.message === 'Invalid input' ? `found ${shown(value)}, which is none of: ${unionText(issue.errors)}` : `${issue.message}; found ${shown(value)}`;
    default:
      return issue.message;
  }
}

function unionText(branches: readonly (readonly z.core.$ZodIssue[])[]): string {
  const words = branches.map((branch) => {
    const first = branch[0];
    if (first?.code === 'invalid_value') return first.values.join(', ');
    if (first?.code === 'invalid_union') return unionText(first.errors);
    return first?.code === 'invalid_type' ? article(first.expected) : (first?.message ?? '');
  });
  return [...new Set(words)].join(', ');
}

const articles: Record<string, string> = { string: 'a text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list', object: 'a mapping of keys', record: 'a mapping of names' };

function article(expected: string): string {
  return articles[expected] ?? expected;
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  const text = JSON.stringify(value);
  return text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}...` : text;
}

/** A value quoted in a fault is cut here: faults are lines for people. */
const shownCharactersMax = 80;

function unknownKey(at: Path, key: string, raw: unknown): string {
  const known = knownKeys(at, raw);
  const stages = at[0] === 'policy' && at.includes('when') ? stagesWith(key) : [];
  if (stages.length > 0) return `the ${String(at[1])} stage does not know ${key} yet or any more; stages that do: ${stages.join(', ')}`;
  const close = known.map((name) => ({ name, distance: editDistance(key, name) })).sort((a, b) => a.distance - b.distance)[0];
  const hint = close !== undefined && close.distance <= Math.max(1, Math.floor(key.length / 3)) ? `; did you mean ${close.name}?` : known.length > knownKeysShownMax ? '' : `; known: ${known.join(', ')}`;
  return `unknown key${hint}`;
}

/** Above this many, a list of keys helps nobody. */
const knownKeysShownMax = 30;

type JsonSchema = Exclude<ReturnType<typeof configJsonSchema>, boolean>;

/** The JSON Schema nodes that describe the value at a path (several where alternatives fit). */
function nodesAt(path: Path): JsonSchema[] {
  let nodes: JsonSchema[] = [configJsonSchema()];
  for (const part of path) {
    nodes = nodes.flatMap(alternatives).flatMap((node) => {
      if (typeof part === 'number') return isNode(node.items) ? [node.items] : [];
      const next = node.properties?.[part] ?? node.additionalProperties;
      return isNode(next) ? [next] : [];
    });
  }
  return nodes.flatMap(alternatives);
}

function alternatives(node: JsonSchema): JsonSchema[] {
  return node.anyOf === undefined ? [node] : node.anyOf.filter(isNode).flatMap(alternatives);
}

function isNode(node: unknown): node is JsonSchema {
  return typeof node === 'object' && node !== null && !Array.isArray(node);
}

function knownKeys(at: Path, raw: unknown): string[] {
  const present = valueAt(raw, at);
  const taken = typeof present === 'object' && present !== null ? Object.keys(present) : [];
  return nodesAt(at).flatMap((node) => Object.keys(node.properties ?? {})).filter((key) => !taken.includes(key));
}

function stagesWith(key: string): string[] {
  const policy = nodesAt(['policy'])[0]?.properties ?? {};
  return Object.keys(policy).filter((stage) => nodesAt(['policy', stage, 0, 'when']).some((node) => Object.hasOwn(node.properties ?? {}, key)));
}

/** What stands at a path of plain data, undefined where nothing does. */
export function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** Levenshtein distance, for short keys. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
