import { useEffect, useId, useState } from 'react';
import { useMutation } from '@tanstack/react-query';
import { useMay } from '../api/access.ts';
import { call } from '../api/client.ts';
import { useConfigs, useGroups, useVersions } from '../api/queries.ts';
import type { RolloutPreview } from '../api/types.ts';
import { Badge, Empty, ProblemBox } from '../parts/basics.tsx';
import { agentsText, configText, numberText, WARNINGS } from '../words.ts';
import { sizeText } from './waves.tsx';

const PRESETS = [
  {
    id: 'careful',
    name: 'Careful',
    help: 'The default: a canary, then 5, 25, 50 and 100 % with soaks of minutes; two percent of failures take it back.',
    strategy: undefined,
  },
  {
    id: 'brisk',
    name: 'Brisk',
    help: 'Five canaries, half, all, with a minute of soak each; the first failure takes it back.',
    strategy: {
      waves: [
        { size: { count: 5 }, soak: '1m' },
        { size: { percent: 50 }, soak: '1m' },
        { size: { percent: 100 }, soak: '1m' },
      ],
      failure: { maxCount: 0 },
      onFailure: 'rollback',
    },
  },
  {
    id: 'approve',
    name: 'Ask me first',
    help: 'As Careful, but after the canary it waits until you promote it.',
    strategy: {
      waves: [{ size: { count: 20, percent: 1 }, approval: 'after' }, { size: { percent: 25 } }, { size: { percent: 100 } }],
    },
  },
  {
    id: 'once',
    name: 'All at once',
    help: 'One wave and no soak, for labs and emergencies. Failures still take it back.',
    strategy: { waves: [{ size: { percent: 100 }, soak: '0s' }], rate: 'unlimited', onFailure: 'rollback' },
  },
] as const;

/** A pause of typing after which the preview is asked for. */
const QUIET_MS = 300;

type Plan = { readonly preview?: RolloutPreview; readonly error?: Error; readonly isAsking: boolean };

/** Chooses group, version and strategy, shows what would happen, and starts it. */
export function StartForm({
  config,
  group: wantedGroup,
  onStarted,
}: {
  readonly config?: { readonly name: string; readonly version: number };
  readonly group?: string;
  readonly onStarted: (id: string) => void;
}) {
  const may = useMay();
  const groups = (useGroups().data?.items ?? []).filter(({ mode, name: group }) => mode === 'manage' && may('rollouts.write', { group }));
  const configs = useConfigs().data?.items ?? [];
  const [chosenGroup, setGroup] = useState(wantedGroup ?? '');
  const [chosenName, setName] = useState(config?.name ?? '');
  const [chosenVersion, setVersion] = useState(config === undefined ? '' : String(config.version));
  const [preset, setPreset] = useState<string>(PRESETS[0].id);
  const [strategy, setStrategy] = useState('');
  const [reason, setReason] = useState('');
  // One key for this form: pressing the button twice starts one rollout.
  const [key] = useState(() => crypto.randomUUID());
  const id = useId();

  // Most likely the group that runs an earlier version of the same config.
  const likely = groups.find(({ stable }) => stable?.name === config?.name) ?? groups[0];
  const group = chosenGroup === '' ? (likely?.name ?? '') : chosenGroup;
  const name = chosenName === '' ? (configs[0]?.name ?? '') : chosenName;
  const versions = useVersions(name).data?.items ?? [];
  const version = chosenVersion === '' ? String(versions[0]?.version ?? '') : chosenVersion;
  const parsed = parseStrategy(strategy);
  const body = { group, config: { name, version: Number(version) }, ...(parsed.value === undefined ? {} : { strategy: parsed.value }) };
  const text = JSON.stringify(body);
  const plan = usePreview(group === '' || name === '' || version === '' || parsed.error !== undefined ? undefined : text);
  const start = useMutation({
    mutationFn: async () =>
      await call<{ id: string }>('/rollouts', { method: 'POST', body: { ...body, reason }, headers: { 'idempotency-key': key } }),
    onSuccess: ({ id: started }) => onStarted(started),
  });

  return (
    <form
      className="start-form"
      onSubmit={(event) => {
        event.preventDefault();
        start.mutate();
      }}
    >
      <div className="start-fields">
        <label htmlFor={`${id}-group`}>Group</label>
        <select id={`${id}-group`} value={group} onChange={(event) => setGroup(event.target.value)}>
          {groups.map((item) => (
            <option key={item.name} value={item.name}>
              {item.name} ({agentsText(item.counts.connected)} connected)
            </option>
          ))}
        </select>
        <label htmlFor={`${id}-config`}>Config</label>
        <select
          id={`${id}-config`}
          value={name}
          onChange={(event) => {
            setName(event.target.value);
            setVersion('');
          }}
        >
          {configs.map((item) => (
            <option key={item.name}>{item.name}</option>
          ))}
        </select>
        <label htmlFor={`${id}-version`}>Version</label>
        <select id={`${id}-version`} value={version} onChange={(event) => setVersion(event.target.value)}>
          {versions.map((item) => (
            <option key={item.version} value={String(item.version)}>
              v{item.version} {item.message}
            </option>
          ))}
        </select>
        <fieldset>
          <legend>How</legend>
          {PRESETS.map((item) => (
            <label key={item.id} className="preset">
              <input
                type="radio"
                name={`${id}-preset`}
                checked={preset === item.id}
                onChange={() => {
                  setPreset(item.id);
                  setStrategy(item.strategy === undefined ? '' : JSON.stringify(item.strategy, null, 2));
                }}
              />
              <span>
                <strong>{item.name}</strong>
                <span className="sub">{item.help}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <details>
          <summary>Strategy as JSON</summary>
          <label htmlFor={`${id}-strategy`} className="sub">
            Empty means every default. docs/rollout.md explains the fields.
          </label>
          <textarea
            id={`${id}-strategy`}
            rows={8}
            spellCheck={false}
            value={strategy}
            onChange={(event) => {
              setStrategy(event.target.value);
              setPreset('');
            }}
          />
          {parsed.error === undefined ? null : <p className="problem">{parsed.error}</p>}
        </details>
        <label htmlFor={`${id}-reason`}>Reason, for the record</label>
        <input id={`${id}-reason`} value={reason} maxLength={4096} autoComplete="off" onChange={(event) => setReason(event.target.value)} />
      </div>
      <div className="start-preview" aria-live="polite">
        <h3>What would happen</h3>
        <Preview plan={plan} />
        {start.error === null ? null : <ProblemBox error={start.error} />}
        <footer className="dialog-foot">
          <span />
          <button
            type="submit"
            className="primary"
            disabled={start.isPending || plan.isAsking || plan.preview === undefined || plan.preview.conflict !== null}
          >
            {plan.preview === undefined ? 'Start' : `Start for ${agentsText(plan.preview.agents.connected)}`}
          </button>
        </footer>
      </div>
    </form>
  );
}

function parseStrategy(text: string): { readonly value?: unknown; readonly error?: string } {
  if (text.trim() === '') return {};
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { error: `This is not JSON: ${(error as Error).message}` };
  }
}

/** Asks what this body would do; undefined asks nothing. */
function usePreview(body: string | undefined): Plan {
  const [plan, setPlan] = useState<Plan>({ isAsking: body !== undefined });
  useEffect(() => {
    if (body === undefined) {
      setPlan({ isAsking: false });
      return undefined;
    }
    const stop = new AbortController();
    setPlan((before) => ({ ...before, isAsking: true }));
    const timer = setTimeout(() => {
      call<RolloutPreview>('/rollouts?dryRun=true', { method: 'POST', body: JSON.parse(body) as unknown, signal: stop.signal }).then(
        (preview) => setPlan({ preview, isAsking: false }),
        (error: unknown) => {
          if (!stop.signal.aborted) setPlan({ error: error as Error, isAsking: false });
        },
      );
    }, QUIET_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [body]);
  return plan;
}

function Preview({ plan }: { readonly plan: Plan }) {
  if (plan.error !== undefined) return <ProblemBox error={plan.error} />;
  const { preview } = plan;
  if (preview === undefined) return plan.isAsking ? <span className="skeleton" /> : <Empty title="Choose a group and a version" />;
  const { agents, waves, canary, from, to } = preview;
  let reached = 0;
  return (
    <div className={plan.isAsking ? 'preview is-old' : 'preview'}>
      <p>
        <strong>{agentsText(agents.connected)}</strong> {agents.estimated ? 'about ' : ''}go from <strong>{configText(from)}</strong> to{' '}
        <strong>{configText(to)}</strong>, in {preview.eta} at the least.
      </p>
      {preview.conflict === null ? null : (
        <p className="notice tone-bad">The group has a rollout already: {preview.conflict}. It has to end first.</p>
      )}
      {preview.warnings.map((warning) => (
        <p key={warning} className="notice tone-warn">
          {WARNINGS[warning] ?? warning}
        </p>
      ))}
      <ol className="preview-waves">
        {waves.map(({ size, agents: end, soak }, index) => {
          const own = Math.max(0, end - reached);
          reached = Math.max(reached, end);
          return (
            // A wave has no other identity than its place.
            <li key={index}>
              <strong>{index === 0 ? 'Canary' : `Wave ${index + 1}`}</strong>
              <span>
                {agentsText(own)} <span className="muted">(up to {sizeText(size)})</span>
              </span>
              <span className="muted">soaks {soak}</span>
              <span className="bar thin" aria-hidden="true">
                <span className="fill-plain" style={{ width: `${(100 * end) / Math.max(1, agents.connected)}%` }} />
              </span>
            </li>
          );
        })}
      </ol>
      <p className="muted">
        {agents.unverified > 0 ? `${numberText(agents.unverified)} cannot report how it went. ` : ''}
        {agents.unhealthy > 0 ? `${numberText(agents.unhealthy)} are unhealthy now. ` : ''}
        {canary.agents.length > 0 ? `Canaries: ${canary.agents.length}, chosen now.` : ''}
      </p>
      <PreviewConfig preview={preview} />
      {preview.from === null ? <Badge tone="warn">First rollout of the group</Badge> : null}
    </div>
  );
}

/** Findings that are listed; the page of the config has them all. */
const MAX_FINDINGS = 5;

/** What the config changes against what the group runs, and what validation says of it. */
function PreviewConfig({ preview: { diff, validation, problems = [] } }: { readonly preview: RolloutPreview }) {
  const findings = validation?.findings ?? [];
  const count = (validation?.errors ?? 0) + (validation?.warnings ?? 0);
  return (
    <>
      {problems.map((problem) => (
        <p key={problem} className="notice tone-bad">
          {problem}
        </p>
      ))}
      {count === 0 ? null : (
        <details>
          <summary>
            {count === 1 ? '1 finding' : `${numberText(count)} findings`} of the validation
            {(validation?.errors ?? 0) > 0 ? `, ${numberText(validation?.errors ?? 0)} of them errors` : ''}
          </summary>
          <ul className="preview-findings">
            {findings.slice(0, MAX_FINDINGS).map(({ code, path, line, column, message }) => (
              <li key={`${code} ${path} ${line} ${column}`}>
                {line === null || line === undefined ? '' : `Line ${line}: `}
                {message}
              </li>
            ))}
            {count > MAX_FINDINGS ? <li className="muted">and {numberText(count - MAX_FINDINGS)} more</li> : null}
          </ul>
        </details>
      )}
      {diff === null || diff === undefined ? null : diff.unified === '' ? (
        <p className="muted">The group is on this content already.</p>
      ) : (
        <details>
          <summary>
            The config changes: {diff.added === 1 ? '1 line' : `${numberText(diff.added)} lines`} added, {numberText(diff.removed)} removed
          </summary>
          <pre className="preview-diff" tabIndex={0}>
            {diff.unified}
            {diff.truncated ? '… and more' : ''}
          </pre>
        </details>
      )}
    </>
  );
}
