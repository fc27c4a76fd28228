import { useSyncExternalStore } from 'react';

/** Colours that the viewer chose; `system` follows the system. */
export type Theme = 'system' | 'light' | 'dark';

const THEMES: readonly (readonly [Theme, string])[] = [
  ['system', 'As the system has it'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

let theme: Theme = 'system';
const listeners = new Set<() => void>();
const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  const media = matchMedia('(prefers-color-scheme: dark)');
  media.addEventListener('change', listener);
  return () => {
    listeners.delete(listener);
    media.removeEventListener('change', listener);
  };
};

function setTheme(next: Theme): void {
  theme = next;
  if (next === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = next;
  for (const listener of listeners) listener();
}

const isDark = (): boolean => theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);

/** Changes between light and dark. */
export function ThemeButton() {
  const dark = useSyncExternalStore(subscribe, isDark);
  const other = dark ? 'light' : 'dark';
  return (
    <button type="button" className="quiet" aria-label={`Change to ${other} colours`} onClick={() => setTheme(other)}>
      {dark ? '☀ Light' : '☾ Dark'}
    </button>
  );
}

/** The same, with the choice to follow the system. */
export function ThemeChoice() {
  const chosen = useSyncExternalStore(subscribe, () => theme);
  return (
    <fieldset className="choices">
      <legend>Colours</legend>
      {THEMES.map(([value, words]) => (
        <label key={value}>
          <input type="radio" name="theme" checked={chosen === value} onChange={() => setTheme(value)} /> {words}
        </label>
      ))}
    </fieldset>
  );
}
