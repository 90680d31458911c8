// Patterns with `*` for any characters, matched without regard to case in time linear in pattern times text; no
// regular expression is built from what users type.

/** A matcher for a pattern; without `*` it is equality. */
export function parseGlob(pattern: string): (text: string) => boolean {
  const wanted = pattern.toLowerCase();
  if (!wanted.includes('*')) return (text) => text.toLowerCase() === wanted;
  const parts = wanted.split('*');
  return (text) => matchesParts(parts, text.toLowerCase());
}

/** The first part begins the text, the last ends it, the others follow each other in between, each as early as it can. */
function matchesParts(parts: readonly string[], text: string): boolean {
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let from = first.length;
  for (let index = 1; index < parts.length - 1; index += 1) {
    const part = parts[index] ?? '';
    const found = text.indexOf(part, from);
    if (found < 0 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}
