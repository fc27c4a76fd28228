import { useId, useState } from 'react';
import { useMutation } from '@tanstack/react-query';
import { ApiProblem, call } from '../api/client.ts';
import type { Rollout } from '../api/types.ts';
import { Dialog } from '../parts/action-dialog.tsx';
import { ProblemBox } from '../parts/basics.tsx';

/** The part of a strategy that can be changed while it runs. */
interface Tunables {
  readonly maxInFlight: number | null;
  readonly rate: 'unlimited' | { readonly start: number; readonly max: number };
  readonly waves: readonly {
    readonly failure: { readonly maxCount: number | null; readonly maxPercent: number | null };
    readonly onFailure: string;
  }[];
}

const numberOf = (text: string): number | null => (text.trim() === '' ? null : Number(text));
const textOf = (value: number | null): string => (value === null ? '' : String(value));

/** Changes pace and limits of a running rollout. Somebody else's change in between is not overwritten: the revision decides. */
export function TuneDialog({
  rollout,
  onClose,
  onDone,
}: {
  readonly rollout: Rollout;
  readonly onClose: () => void;
  readonly onDone: () => void;
}) {
  // As it was when the dialog opened: what was seen is what is changed.
  const [seen] = useState(rollout);
  const before = seen.strategy as unknown as Tunables;
  const wave = before.waves[seen.waveIndex];
  const [maxInFlight, setMaxInFlight] = useState(textOf(before.maxInFlight));
  const [isUnlimited, setUnlimited] = useState(before.rate === 'unlimited');
  const [start, setStart] = useState(before.rate === 'unlimited' ? '5' : String(before.rate.start));
  const [max, setMax] = useState(before.rate === 'unlimited' ? '100' : String(before.rate.max));
  const [maxCount, setMaxCount] = useState(textOf(wave?.failure.maxCount ?? null));
  const [maxPercent, setMaxPercent] = useState(textOf(wave?.failure.maxPercent ?? null));
  const [onFailure, setOnFailure] = useState(wave?.onFailure ?? 'rollback');
  const [reason, setReason] = useState('');
  const id = useId();

  const strategy = {
    ...(numberOf(maxInFlight) === before.maxInFlight ? {} : { maxInFlight: numberOf(maxInFlight) }),
    ...(isSameRate(before.rate, isUnlimited, start, max)
      ? {}
      : { rate: isUnlimited ? 'unlimited' : { start: Number(start), max: Number(max) } }),
    ...failureChange(wave?.failure, numberOf(maxCount), numberOf(maxPercent)),
    ...(onFailure === wave?.onFailure ? {} : { onFailure }),
  };
  const isChanged = Object.keys(strategy).length > 0;
  const save = useMutation({
    mutationFn: async () =>
      await call(`/rollouts/${encodeURIComponent(seen.id)}`, {
        method: 'PATCH',
        body: { strategy, reason },
        headers: { 'if-match': `"${seen.rev}"` },
      }),
    onSuccess: () => {
      onDone();
      onClose();
    },
  });
  const isOutdated = save.error instanceof ApiProblem && save.error.status === 412;
  const field = (label: string, value: string, change: (text: string) => void, help: string, isDisabled = false) => (
    <div>
      <label htmlFor={`${id}-${label}`}>{label}</label>
      <input
        id={`${id}-${label}`}
        type="number"
        min={0}
        step="any"
        value={value}
        placeholder="no limit"
        disabled={isDisabled}
        onChange={(event) => change(event.target.value)}
      />
      <p className="sub">{help}</p>
    </div>
  );

  return (
    <Dialog title="Change pace and limits" onClose={onClose}>
      <form
        className="stack-form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <p className="muted">Holds for wave {seen.waveIndex + 1} and those after it.</p>
        <div className="two">
          {field('Agents under way', maxInFlight, setMaxInFlight, 'at the same time')}
          <div>
            <label htmlFor={`${id}-failure`}>Too many failures</label>
            <select id={`${id}-failure`} value={onFailure} onChange={(event) => setOnFailure(event.target.value)}>
              <option value="rollback">Take everybody back</option>
              <option value="pause">Hold and ask</option>
            </select>
            <p className="sub">what happens then</p>
          </div>
        </div>
        <div className="two">
          {field('Failures, in agents', maxCount, setMaxCount, 'more than so many are too many')}
          {field('Failures, in percent', maxPercent, setMaxPercent, 'of those that have decided')}
        </div>
        <fieldset className="choices">
          <legend>Pace</legend>
          <label>
            <input type="checkbox" checked={isUnlimited} onChange={(event) => setUnlimited(event.target.checked)} /> As fast as the limits
            allow
          </label>
        </fieldset>
        <div className="two">
          {field('Agents per second at first', start, setStart, 'doubling from there', isUnlimited)}
          {field('Agents per second at most', max, setMax, 'in the whole group', isUnlimited)}
        </div>
        <div>
          <label htmlFor={`${id}-reason`}>Reason, for the record</label>
          <input
            id={`${id}-reason`}
            value={reason}
            maxLength={4096}
            autoComplete="off"
            onChange={(event) => setReason(event.target.value)}
          />
        </div>
        {isOutdated ? (
          <p className="problem" role="alert">
            The rollout has changed since you opened this (it went on, or somebody else changed it). Close this, look again, and repeat it.
          </p>
        ) : save.error === null ? null : (
          <ProblemBox error={save.error} />
        )}
        <footer className="dialog-foot">
          <button type="button" onClick={onClose}>
            Keep as it is
          </button>
          <button type="submit" className="primary" disabled={!isChanged || save.isPending || isOutdated}>
            Change it
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function isSameRate(before: Tunables['rate'], isUnlimited: boolean, start: string, max: string): boolean {
  if (before === 'unlimited' || isUnlimited) return (before === 'unlimited') === isUnlimited;
  return before.start === Number(start) && before.max === Number(max);
}

function failureChange(
  before: Tunables['waves'][number]['failure'] | undefined,
  maxCount: number | null,
  maxPercent: number | null,
): { readonly failure?: Readonly<Record<string, number | null>> } {
  const failure = {
    ...(maxCount === (before?.maxCount ?? null) ? {} : { maxCount }),
    ...(maxPercent === (before?.maxPercent ?? null) ? {} : { maxPercent }),
  };
  return Object.keys(failure).length === 0 ? {} : { failure };
}
