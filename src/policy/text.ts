// Tests of names and texts: exact values, suffixes and patterns with `*` and `?`, compiled once. A pattern costs at most length
// times length, never more: no regular expressions, so no input can stall a decision.

import { domainToASCII } from 'node:url';

/** A compiled test of one text. */
export type TextTest = (text: string) => boolean;

/** `host`: names, where `*.x` is everything below x and `.x` is x too; `folded`: case does not count; `exact`: it does. */
export type TextKind = 'host' | 'folded' | 'exact';

/** Compiles a list of values of which one must match. Texts are to be passed folded (`foldHost`, lower case) for the first two kinds. */
export function compileTexts(values: readonly string[], kind: TextKind): TextTest {
  const exact = new Set<string>();
  const suffixes: string[] = [];
  const patterns: string[] = [];
  for (const value of values) {
    const text = kind === 'host' ? hostPatternAscii(value) : kind === 'folded' ? value.toLowerCase() : value;
    if (kind === 'host' && text.startsWith('.')) {
      exact.add(text.slice(1));
      suffixes.push(text);
    } else if (kind === 'host' && text.startsWith('*.') && !hasWildcard(text.slice(1))) suffixes.push(text.slice(1));
    else if (hasWildcard(text)) patterns.push(text);
    else exact.add(text);
  }
  const tests: TextTest[] = [];
  if (exact.size > 0) tests.push(exactTest(exact));
  if (suffixes.length > 0) tests.push(suffixTest(suffixes));
  if (patterns.length > 0) tests.push(patternTest(patterns));
  return anyOf(tests);
}

function exactTest(values: ReadonlySet<string>): TextTest {
  const [only] = values;
  return values.size === 1 ? (text) => text === only : (text) => values.has(text);
}

/** Suffixes begin with a dot; a text that is only the suffix does not match. */
function suffixTest(suffixes: readonly string[]): TextTest {
  const [only = ''] = suffixes;
  if (suffixes.length === 1) return (text) => text.length > only.length && text.endsWith(only);
  if (suffixes.length <= suffixesScannedMax) return (text) => suffixes.some((suffix) => text.length > suffix.length && text.endsWith(suffix));
  const set = new Set(suffixes);
  return (text) => {
    for (let at = text.indexOf('.', 1); at !== -1; at = text.indexOf('.', at + 1)) if (set.has(text.slice(at))) return true;
    return false;
  };
}

/** Up to here comparing each suffix is cheaper than cutting the text at every dot. */
const suffixesScannedMax = 8;

function patternTest(patterns: readonly string[]): TextTest {
  const [only = ''] = patterns;
  if (patterns.length > 1) return (text) => patterns.some((pattern) => matchesPattern(pattern, text));
  if (only === '*') return () => true;
  const head = only.slice(0, -1);
  return only.endsWith('*') && !hasWildcard(head) ? (text) => text.startsWith(head) : (text) => matchesPattern(only, text);
}

function anyOf(tests: readonly TextTest[]): TextTest {
  const [first, second, third] = tests;
  if (first === undefined) return () => false;
  if (second === undefined) return first;
  if (third === undefined) return (text) => first(text) || second(text);
  return (text) => first(text) || second(text) || third(text);
}

function hasWildcard(text: string): boolean {
  return text.includes('*') || text.includes('?');
}

/** Whether the whole text matches: `*` is any run of characters, `?` one. Goes back to the last `*` only. */
export function matchesPattern(pattern: string, text: string): boolean {
  let at = 0;
  let patternAt = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length) {
    const code = patternAt < pattern.length ? pattern.charCodeAt(patternAt) : -1;
    if (code === asterisk) {
      star = patternAt;
      starAt = at;
      patternAt += 1;
    } else if (code === questionMark || code === text.charCodeAt(at)) {
      patternAt += 1;
      at += 1;
    } else if (star !== -1) {
      patternAt = star + 1;
      starAt += 1;
      at = starAt;
    } else return false;
  }
  while (patternAt < pattern.length && pattern.charCodeAt(patternAt) === asterisk) patternAt += 1;
  return patternAt === pattern.length;
}

const asterisk = 0x2a;
const questionMark = 0x3f;

/** A host name as it is compared: lower case, without the trailing dot. */
export function foldHost(host: string): string {
  const lower = host.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** The host of an HTTP Host field or authority: folded, without port and brackets. */
export function hostOfAuthority(authority: string): string {
  if (authority.startsWith('[')) {
    const close = authority.indexOf(']');
    return authority.slice(1, close === -1 ? undefined : close).toLowerCase();
  }
  const colon = authority.indexOf(':');
  return foldHost(colon === -1 ? authority : authority.slice(0, colon));
}

/** International labels of a pattern in their ASCII form; wildcards stay. */
function hostPatternAscii(pattern: string): string {
  const folded = foldHost(pattern);
  if (/^[\x00-\x7f]*$/.test(folded)) return folded;
  return folded.split('.').map((label) => (hasWildcard(label) ? label : domainToASCII(label) || label)).join('.');
}

/**
 * The path that rules are compared with: without query and fragment, unreserved percent-escapes decoded, empty and dot
 * segments resolved (RFC 3986 section 6.2.2), so that spelling a path differently does not get round a rule.
 */
export function comparablePath(target: string): string {
  const cut = firstOf(target, '?', '#');
  const raw = cut === -1 ? target : target.slice(0, cut);
  const path = raw.startsWith('/') ? raw : pathOfAbsolute(raw);
  if (!path.includes('%') && !path.includes('//') && !path.includes('/.') && !path.includes('\\')) return path;
  const decoded = path.replace(/%([0-9a-fA-F]{2})/g, decodeUnreserved).replaceAll('\\', '/');
  const kept: string[] = [];
  const segments = decoded.split('/');
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  const last = segments.at(-1);
  const folder = last === '' || last === '.' || last === '..';
  return `/${kept.join('/')}${folder && kept.length > 0 ? '/' : ''}`;
}

function firstOf(text: string, one: string, other: string): number {
  const first = text.indexOf(one);
  const second = text.indexOf(other);
  return first === -1 ? second : second === -1 ? first : Math.min(first, second);
}

/** The path of an absolute-form target; other forms (`*`, authority) stay as they are. */
function pathOfAbsolute(target: string): string {
  const scheme = target.indexOf('://');
  if (scheme === -1) return target;
  const slash = target.indexOf('/', scheme + 3);
  return slash === -1 ? '/' : target.slice(slash);
}

/** Unreserved characters, and the dot, slash and backslash that servers differ about; the rest keeps its escape in upper case. */
function decodeUnreserved(escape: string, hex: string): string {
  const text = String.fromCharCode(Number.parseInt(hex, 16));
  return /[A-Za-z0-9\-._~/\\]/.test(text) ? text : escape.toUpperCase();
}
