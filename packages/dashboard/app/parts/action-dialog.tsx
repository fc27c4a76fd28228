import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { useMutation } from '@tanstack/react-query';
import { ProblemBox } from './basics.tsx';

/** A modal dialog; Escape and its close button end it, the focus returns to where it was. */
export function Dialog({
  title,
  onClose,
  children,
  wide = false,
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly wide?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={titleId} className={wide ? 'wide' : ''} onClose={onClose}>
      <header className="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <button type="button" className="quiet" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

export interface Action {
  readonly label: string;
  /** What happens, with the number of agents that it touches. */
  readonly effect: ReactNode;
  readonly isDangerous?: boolean;
  readonly withReason?: boolean;
  /** Does it; a problem is shown and the dialog stays. */
  readonly run: (reason: string) => Promise<void>;
}

/** A button whose action is confirmed first, with its effect in words and a reason for the record. */
export function ActionButton({
  action,
  kind = 'plain',
  ariaLabel,
}: {
  readonly action: Action;
  readonly kind?: 'plain' | 'primary' | 'danger' | 'quiet';
  /** What a screen reader says, where the label alone does not tell of which thing. */
  readonly ariaLabel?: string;
}) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button
        type="button"
        className={kind}
        {...(ariaLabel === undefined ? {} : { 'aria-label': ariaLabel })}
        onClick={() => setOpen(true)}
      >
        {action.label}
      </button>
      {isOpen ? <ActionDialog action={action} onClose={() => setOpen(false)} /> : null}
    </>
  );
}

function ActionDialog({ action, onClose }: { readonly action: Action; readonly onClose: () => void }) {
  const [reason, setReason] = useState('');
  const reasonId = useId();
  const run = useMutation({ mutationFn: async () => await action.run(reason), onSuccess: onClose });
  return (
    <Dialog title={action.label} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          run.mutate();
        }}
      >
        <div className="effect">{action.effect}</div>
        {action.withReason === false ? null : (
          <>
            <label htmlFor={reasonId}>Reason, for the record</label>
            <input id={reasonId} value={reason} maxLength={4096} autoComplete="off" onChange={(event) => setReason(event.target.value)} />
          </>
        )}
        {run.error === null ? null : <ProblemBox error={run.error} />}
        <footer className="dialog-foot">
          <button type="button" onClick={onClose}>
            Keep as it is
          </button>
          <button type="submit" className={action.isDangerous === true ? 'danger' : 'primary'} disabled={run.isPending}>
            {run.isPending ? 'Working …' : action.label}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
