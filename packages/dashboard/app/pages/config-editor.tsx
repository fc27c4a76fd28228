import { useEffect, useId, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import type { ConfigRef, Finding } from '../api/types.ts';
import { Badge, ProblemBox } from '../parts/basics.tsx';
import { CodeEditor } from '../parts/code.tsx';

/** Time without a key press after which the text is checked. */
const QUIET_MS = 400;
const MAX_LISTED = 50;

type Check = { readonly state: 'checking' | 'checked' | 'unknown'; readonly findings: readonly Finding[] };

/** Checks a text with the coordinator, whenever it has rested for a moment. */
function useValidation(text: string): Check {
  const [check, setCheck] = useState<Check>({ state: 'checking', findings: [] });
  useEffect(() => {
    const stop = new AbortController();
    setCheck(({ findings }) => ({ state: 'checking', findings }));
    const timer = setTimeout(() => {
      call<{ findings: readonly Finding[] }>('/configs/validate', { method: 'POST', body: { yaml: text }, signal: stop.signal }).then(
        ({ findings }) => setCheck({ state: 'checked', findings }),
        () => {
          if (!stop.signal.aborted) setCheck({ state: 'unknown', findings: [] });
        },
      );
    }, QUIET_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  return check;
}

/** Writes the next version of a config, or the first one of a new name. */
export function ConfigEditor({
  name: fixedName,
  initial,
  onSaved,
}: {
  readonly name?: string;
  readonly initial: string;
  readonly onSaved: (version: ConfigRef) => void;
}) {
  const [text, setText] = useState(initial);
  const [name, setName] = useState(fixedName ?? '');
  const [message, setMessage] = useState('');
  const [goTo, setGoTo] = useState<{ line: number; column: number }>();
  const { state, findings } = useValidation(text);
  const client = useQueryClient();
  const id = useId();
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const [forceReason, setForceReason] = useState('');
  const save = useMutation({
    mutationFn: async (force: boolean) =>
      await call<ConfigRef>(`/configs/${encodeURIComponent(name)}`, {
        method: 'PUT',
        body: { files: { '': { body: text, contentType: 'text/yaml' } }, message, ...(force ? { force, reason: forceReason } : {}) },
      }),
    onSuccess: async (version) => {
      await Promise.all([client.invalidateQueries({ queryKey: ['configs'] }), client.invalidateQueries({ queryKey: ['versions', name] })]);
      onSaved(version);
    },
  });
  return (
    <form
      className="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate(false);
      }}
    >
      {fixedName === undefined ? (
        <>
          <label htmlFor={`${id}-name`}>Name</label>
          <input
            id={`${id}-name`}
            value={name}
            required
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
            placeholder="edge-collectors"
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
          />
        </>
      ) : null}
      <CodeEditor label="Collector config in YAML" initial={initial} findings={findings} onChange={setText} goTo={goTo} />
      <div className="findings" aria-live="polite">
        <p>
          {state === 'checking' ? (
            <Badge tone="busy">Checking …</Badge>
          ) : state === 'unknown' ? (
            <Badge tone="warn">Cannot be checked now</Badge>
          ) : errors > 0 ? (
            <Badge tone="bad">{errors === 1 ? '1 error' : `${errors} errors`}</Badge>
          ) : (
            <Badge tone="good">A collector can load this</Badge>
          )}{' '}
          <span className="muted">Escape, then Tab, leaves the editor.</span>
        </p>
        <ul>
          {findings.slice(0, MAX_LISTED).map(({ code, line, column, message: what, severity, suggestion, path }) => (
            <li key={`${code} ${path} ${line} ${column}`} className={severity === 'error' ? 'is-error' : 'is-warning'}>
              <button
                type="button"
                className="quiet"
                disabled={line === null || line === undefined}
                onClick={() => setGoTo({ line: line ?? 1, column: column ?? 1 })}
              >
                {line === null || line === undefined ? 'whole file' : `line ${line}`}
              </button>
              <span>
                {what}
                {suggestion === undefined ? null : <span className="sub">{suggestion}</span>}
              </span>
            </li>
          ))}
        </ul>
      </div>
      <label htmlFor={`${id}-message`}>What changes, and why</label>
      <input
        id={`${id}-message`}
        value={message}
        maxLength={1024}
        autoComplete="off"
        onChange={(event) => setMessage(event.target.value)}
      />
      {errors === 0 || state !== 'checked' ? null : (
        <details className="force">
          <summary>Store it although it has errors</summary>
          <p className="muted">
            For a build of your own that these checks do not know. The reason goes into the audit log. A text that would keep a supervisor
            from ever starting again is refused all the same.
          </p>
          <label htmlFor={`${id}-force`}>Reason</label>
          <input
            id={`${id}-force`}
            value={forceReason}
            maxLength={1024}
            autoComplete="off"
            onChange={(event) => setForceReason(event.target.value)}
          />
          <button type="button" className="danger" disabled={forceReason.trim() === '' || save.isPending} onClick={() => save.mutate(true)}>
            Store with {errors === 1 ? '1 error' : `${errors} errors`}
          </button>
        </details>
      )}
      {save.error === null ? null : <ProblemBox error={save.error} />}
      <footer className="dialog-foot">
        <span className="muted">Storing changes no agent. A rollout does.</span>
        <button type="submit" className="primary" disabled={save.isPending || errors > 0 || state === 'checking'}>
          Store as a new version
        </button>
      </footer>
    </form>
  );
}
