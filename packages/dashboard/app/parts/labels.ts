/** `site=madrid, team=payments` as people write labels. */
export function toLabelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

/** Reads the text of {@link toLabelText}; the first part that is no label is named. */
export function fromLabelText(text: string): { readonly labels: Readonly<Record<string, string>>; readonly problem?: string } {
  const labels: Record<string, string> = {};
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const [, name = '', value = ''] = /^\s*([A-Za-z0-9][A-Za-z0-9._/-]{0,127})\s*=\s*(.*?)\s*$/.exec(part) ?? [];
    if (name === '') return { labels, problem: `“${part.trim()}” is not of the form name=value` };
    labels[name] = value;
  }
  return { labels };
}
