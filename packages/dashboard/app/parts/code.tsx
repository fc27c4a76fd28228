import { useEffect, useRef, useSyncExternalStore } from 'react';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, lintGutter, setDiagnostics } from '@codemirror/lint';
import { MergeView, unifiedMergeView } from '@codemirror/merge';
import { EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Finding } from '../api/types.ts';

const COLORS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--code-value)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
]);

const THEME = EditorView.theme({
  '&': { color: 'var(--text)', backgroundColor: 'var(--code-back)', fontSize: '13px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--muted)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--code-active)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--code-selection)',
  },
  // The pictures that the package brings are data: URLs, which the Content-Security-Policy does not let in.
  '.cm-lintRange-error, .cm-lintRange-warning': {
    backgroundImage: 'none',
    textDecoration: 'underline wavy 1.5px',
    textUnderlineOffset: '3px',
  },
  '.cm-lintRange-error': { textDecorationColor: 'var(--bad)', backgroundColor: 'var(--bad-back)' },
  '.cm-lintRange-warning': { textDecorationColor: 'var(--warn)' },
  '.cm-lint-marker': { width: '10px', height: '10px', borderRadius: '50%', marginTop: '5px' },
  '.cm-lint-marker-error': { content: '""', backgroundColor: 'var(--st-failed)', borderRadius: '2px' },
  '.cm-lint-marker-warning': { content: '""', backgroundColor: 'var(--st-unverified)' },
  '.cm-tooltip': { backgroundColor: 'var(--card)', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '6px' },
  '.cm-diagnostic': { padding: '6px 10px' },
  '.cm-diagnosticText': { whiteSpace: 'pre-wrap' },
  '.cm-collapsedLines::before, .cm-collapsedLines::after': { content: '"⋯"' },
  '.cm-collapsedLines': { background: 'var(--code-active)', color: 'var(--muted)' },
  '&.cm-merge-a .cm-changedLine, .cm-deletedChunk': { backgroundColor: 'var(--diff-old) !important' },
  '&.cm-merge-b .cm-changedLine': { backgroundColor: 'var(--diff-new) !important' },
  '.cm-insertedLine': { backgroundColor: 'var(--diff-new) !important' },
  '.cm-deletedChunk .cm-deletedText': { background: 'var(--diff-old-strong) !important' },
  '&.cm-merge-a .cm-changedText': { background: 'var(--diff-old-strong) !important' },
  '&.cm-merge-b .cm-changedText': { background: 'var(--diff-new-strong) !important' },
});

/** The editor scrolls in itself, so that its focus frame stays whole. */
const EDITABLE = EditorView.theme({ '&': { maxHeight: 'min(46vh, 520px)' } });

const SHADOW_STYLE = `
  :host { display: block; }
  .cm-mergeViewEditors { gap: 8px; }
  .cm-mergeViewEditor { min-width: 0; }
`;

/**
 * The editor puts its styles where it lives. In a shadow tree these are constructed style sheets, which a strict
 * Content-Security-Policy allows; in the document they would be inline ones.
 */
function shadowOf(host: HTMLElement): ShadowRoot {
  const shadow = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(SHADOW_STYLE);
  shadow.adoptedStyleSheets = [sheet];
  return shadow;
}

function basics(label: string): Extension[] {
  return [
    lineNumbers(),
    yaml(),
    syntaxHighlighting(COLORS),
    THEME,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': label }),
  ];
}

function readOnly(label: string): Extension[] {
  return [...basics(label), EditorState.readOnly.of(true), EditorView.contentAttributes.of({ 'aria-readonly': 'true', tabindex: '0' })];
}

function toDiagnostics(state: EditorState, findings: readonly Finding[]): Diagnostic[] {
  return findings.flatMap(({ line, column, message, severity, code, suggestion }) => {
    if (line === undefined || line === null) return [];
    const at = state.doc.line(Math.min(Math.max(1, line), state.doc.lines));
    const from = Math.min(at.to, at.from + Math.max(0, (column ?? 1) - 1));
    const word = /^[^\s:,\]}]+/.exec(at.text.slice(from - at.from))?.[0] ?? '';
    return [
      {
        from,
        to: Math.max(Math.min(at.to, from + word.length), from),
        severity: severity === 'warning' ? ('warning' as const) : ('error' as const),
        source: code ?? '',
        message: suggestion === undefined ? message : `${message}\n${suggestion}`,
      },
    ];
  });
}

/** A YAML editor that marks findings where they are. Escape, then Tab, leaves it. */
export function CodeEditor({
  label,
  initial,
  findings,
  onChange,
  goTo,
}: {
  readonly label: string;
  /** Text at the start; a new value starts over. */
  readonly initial: string;
  readonly findings: readonly Finding[];
  readonly onChange: (text: string) => void;
  /** A line to go to; a new object goes there again. */
  readonly goTo?: { readonly line: number; readonly column: number } | undefined;
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const report = useRef(onChange);
  report.current = onChange;

  useEffect(() => {
    if (host.current === null) return undefined;
    const root = shadowOf(host.current);
    const editor = new EditorView({
      root,
      parent: root,
      doc: initial,
      extensions: [
        ...basics(label),
        EDITABLE,
        lintGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) report.current(update.state.doc.toString());
        }),
      ],
    });
    view.current = editor;
    return () => {
      editor.destroy();
      view.current = null;
    };
  }, [label, initial]);

  useEffect(() => {
    const editor = view.current;
    if (editor !== null) editor.dispatch(setDiagnostics(editor.state, toDiagnostics(editor.state, findings)));
  }, [findings, initial]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || goTo === undefined) return;
    const line = editor.state.doc.line(Math.min(goTo.line, editor.state.doc.lines));
    editor.dispatch({ selection: { anchor: Math.min(line.to, line.from + goTo.column - 1) }, scrollIntoView: true });
    editor.focus();
  }, [goTo]);

  return <div ref={host} className="code editable" />;
}

/** YAML to read. */
export function CodeView({ label, text }: { readonly label: string; readonly text: string }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (host.current === null) return undefined;
    const root = shadowOf(host.current);
    const editor = new EditorView({ root, parent: root, doc: text, extensions: readOnly(label) });
    return () => editor.destroy();
  }, [label, text]);
  return <div ref={host} className="code" />;
}

/** Lines that are the same on both sides and fold. */
const UNCHANGED = { margin: 3, minSize: 6 };
const NARROW = globalThis.matchMedia('(max-width: 820px)');

function onNarrowChange(listener: () => void): () => void {
  NARROW.addEventListener('change', listener);
  return () => NARROW.removeEventListener('change', listener);
}

/** Two texts side by side with their differences marked; on a telephone in one column. */
export function CodeDiff({
  left,
  right,
}: {
  readonly left: { label: string; text: string };
  readonly right: { label: string; text: string };
}) {
  const host = useRef<HTMLDivElement>(null);
  const isNarrow = useSyncExternalStore(onNarrowChange, () => NARROW.matches);
  useEffect(() => {
    if (host.current === null) return undefined;
    const root = shadowOf(host.current);
    if (isNarrow) {
      const unified = unifiedMergeView({ original: left.text, mergeControls: false, collapseUnchanged: UNCHANGED, gutter: true });
      const label = `${left.label} against ${right.label}`;
      const editor = new EditorView({ root, parent: root, doc: right.text, extensions: [...readOnly(label), unified] });
      return () => editor.destroy();
    }
    const merge = new MergeView({
      root,
      parent: root,
      a: { doc: left.text, extensions: readOnly(left.label) },
      b: { doc: right.text, extensions: readOnly(right.label) },
      collapseUnchanged: UNCHANGED,
      gutter: true,
    });
    return () => merge.destroy();
  }, [left.label, left.text, right.label, right.text, isNarrow]);
  return (
    <div className="diff">
      {isNarrow ? null : (
        <div className="diff-heads">
          <span>{left.label}</span>
          <span>{right.label}</span>
        </div>
      )}
      <div ref={host} className="code" />
    </div>
  );
}
