import { lazy, Suspense } from 'react';
import { Link } from 'wouter';
import { useMay } from '../api/access.ts';
import { call } from '../api/client.ts';
import { useAgent, useVersion } from '../api/queries.ts';
import type { AgentDetail, HealthNode } from '../api/types.ts';
import { ActionButton } from '../parts/action-dialog.tsx';
import { Answer, Badge, Card, Empty, Facts, PageHead, Time, WordBadge } from '../parts/basics.tsx';
import { agentName, capabilityWord, configText, statusWord } from '../words.ts';
import { ConnectionWord } from './agents-page.tsx';
import { LabelButton } from './label-dialog.tsx';
import { PinButtons } from './pin-dialog.tsx';

const CodeView = lazy(async () => ({ default: (await import('../parts/code.tsx')).CodeView }));
const CodeDiff = lazy(async () => ({ default: (await import('../parts/code.tsx')).CodeDiff }));

const SOURCES: Readonly<Record<string, string>> = {
  pin: 'its pin',
  rollout: 'a rollout',
  stable: 'the proven version of its group',
  previous: 'the version before, because it refused the newer one',
};

/** Everything that is known of one agent. */
export function AgentPage({ uid }: { readonly uid: string }) {
  return <Answer query={useAgent(uid)}>{(agent) => <Details agent={agent} />}</Answer>;
}

function Details({ agent }: { readonly agent: AgentDetail }) {
  const { config, pin } = agent;
  const may = useMay();
  return (
    <>
      <PageHead title={agentName(agent)} lead={<code>{agent.uid}</code>}>
        {may('agents.write', { group: agent.group }) ? (
          <>
            <LabelButton agent={agent} />
            <PinButtons agent={agent} />
          </>
        ) : null}
        {may('agents.command', { group: agent.group }) &&
        agent.connected &&
        agent.transport === 'ws' &&
        agent.capabilities.includes('AcceptsRestartCommand') ? (
          <ActionButton
            action={{
              label: 'Restart',
              isDangerous: true,
              effect: 'This one agent restarts, and its pipelines stop for that time.',
              run: async (reason) => void (await call(`/agents/${agent.uid}/restart`, { method: 'POST', body: { reason } })),
            }}
          />
        ) : null}
      </PageHead>
      <div className="columns">
        <Card title="State">
          <Facts
            facts={[
              ['Connection', <ConnectionWord key="connection" agent={agent} />],
              ['Health', <WordBadge key="health" kind="health" value={agent.health.status} />],
              ['Config', <WordBadge key="config" kind="config" value={config.status} />],
              [
                'Desired',
                config.desired === null ? (
                  'nothing'
                ) : (
                  <span key="desired">
                    <Link href={`/configs/${config.desired.name}`}>{configText(config.desired)}</Link>, by{' '}
                    {SOURCES[config.desired.source] ?? config.desired.source}{' '}
                    {config.inSync === true ? <Badge tone="good">In sync</Badge> : <Badge tone="warn">Not in sync</Badge>}
                  </span>
                ),
              ],
              ['Group', agent.group ?? 'none'],
              ['Pin', pin === null ? 'none' : configText(pin)],
              ['First seen', <Time key="first" at={agent.createdAt} />],
            ]}
          />
          {config.error === '' ? null : (
            <p className="problem">
              <strong>It said:</strong> {config.error}
            </p>
          )}
        </Card>
        <Card title="Health of its components">
          {agent.healthTree === null ? <Empty title="It has not reported any" /> : <HealthTree name="agent" node={agent.healthTree} />}
        </Card>
        <Card title="Attributes">
          <Facts
            facts={[
              ...Object.entries(agent.identifyingAttributes),
              ...Object.entries(agent.nonIdentifyingAttributes),
              ...Object.entries(agent.labels).map(([name, value]) => [`label.${name}`, value] as const),
            ]}
          />
        </Card>
        <Card title="What it can do">
          <ul className="words abilities">
            {agent.capabilities.map((name) => (
              <li key={name} title={name}>
                {capabilityWord(name)}
              </li>
            ))}
          </ul>
        </Card>
      </div>
      <Card title="Desired and effective config">
        <Suspense fallback={<span className="skeleton" />}>
          <Configs agent={agent} />
        </Suspense>
      </Card>
      <div className="columns">
        <Card title="Verdicts on configs, newest first">
          <History agent={agent} />
        </Card>
        <Card title="Rollouts it takes part in">
          {Object.keys(agent.rollouts).length === 0 ? (
            <Empty title="None is going on" />
          ) : (
            <ul className="words">
              {Object.entries(agent.rollouts).map(([id, { wave, status }]) => (
                <li key={id}>
                  <Link href={`/rollouts/${id}`}>{id}</Link>: {statusWord(status)}, {wave === 'late' ? 'late' : `wave ${Number(wave) + 1}`}
                </li>
              ))}
            </ul>
          )}
        </Card>
      </div>
    </>
  );
}

function HealthTree({ name, node }: { readonly name: string; readonly node: HealthNode }) {
  const children = Object.entries(node.children ?? {});
  return (
    <ul className="tree">
      <HealthBranch name={name} node={node} entries={children} />
    </ul>
  );
}

function HealthBranch({
  name,
  node,
  entries,
}: {
  readonly name: string;
  readonly node: HealthNode;
  readonly entries: readonly (readonly [string, HealthNode])[];
}) {
  return (
    <li>
      <span className={node.healthy ? 'mark mark-good' : 'mark mark-bad'} aria-hidden="true" />
      <strong>{name}</strong> <span className={node.healthy ? 'muted' : 'text-bad'}>{node.healthy ? 'healthy' : 'unhealthy'}</span>
      {node.status === '' ? null : <span className="muted"> · {node.status}</span>}
      {node.lastError === '' ? null : <span className="sub text-bad">{node.lastError}</span>}
      {entries.length === 0 ? null : (
        <ul>
          {entries.map(([child, childNode]) => (
            <HealthBranch key={child} name={child} node={childNode} entries={Object.entries(childNode.children ?? {})} />
          ))}
        </ul>
      )}
    </li>
  );
}

/** The keys that it runs otherwise, or why that cannot be told. */
function DriftLine({ agent }: { readonly agent: AgentDetail }) {
  const { state, reason, differences, truncated } = agent.drift;
  return (
    <div>
      <WordBadge kind="drift" value={state} /> <span className="muted">{reason}</span>
      {differences.length === 0 ? null : (
        <ul className="changes">
          {differences.map(({ path, change, desired, effective }) => (
            <li key={path}>
              <Badge tone={change === 'missing' ? 'bad' : 'warn'}>{change}</Badge> <code>{path}</code>{' '}
              <span className="muted">
                should be <code>{desired}</code>
                {effective === null ? '' : ', is '}
                {effective === null ? null : <code>{effective}</code>}
              </span>
            </li>
          ))}
          {truncated ? <li className="muted">and more</li> : null}
        </ul>
      )}
    </div>
  );
}

function Configs({ agent }: { readonly agent: AgentDetail }) {
  const { desired } = agent.config;
  const version = useVersion(desired?.name ?? '', desired?.version);
  const wanted = version.data === undefined || desired === null ? undefined : Object.values(version.data.files)[0]?.body;
  const effective = agent.effective === null ? undefined : Object.values(agent.effective.files)[0]?.body;
  const unreadable = agent.effectiveUnreadable ?? undefined;
  if (wanted === undefined && effective === undefined && unreadable === undefined)
    return <Empty title={desired === null ? 'Nothing is desired, and it has reported nothing' : 'Not here yet'} />;
  return (
    <>
      <DriftLine agent={agent} />
      <p className="muted">
        A supervisor adds parts of its own, so that the two may differ in form.
        {agent.effective === null ? '' : ' Secrets are replaced.'}
        {agent.effective?.truncated === true ? ' The effective config was cut at its limit.' : ''}
        {agent.effective === null ? null : (
          <>
            {' Reported '}
            <Time at={agent.effective.reportedAt} />.
          </>
        )}
        {unreadable === undefined ? null : ` The effective config cannot be read: ${unreadable}.`}
      </p>
      {wanted !== undefined && effective !== undefined ? (
        <CodeDiff
          left={{ label: `Desired: ${configText(desired)}`, text: wanted }}
          right={{ label: 'Effective, as reported', text: effective }}
        />
      ) : (
        <CodeView label={wanted === undefined ? 'Effective config' : 'Desired config'} text={wanted ?? effective ?? ''} />
      )}
    </>
  );
}

function History({ agent }: { readonly agent: AgentDetail }) {
  if (agent.history.length === 0) return <Empty title="It has given none yet" />;
  return (
    <ol className="timeline" aria-label="Verdicts, newest first" tabIndex={0}>
      {agent.history.map(({ hash, status, at, error }) => (
        <li key={`${hash} ${status} ${at}`}>
          <Time at={at} /> <WordBadge kind="config" value={status} /> <code title={hash}>{hash.slice(0, 12)}</code>
          {agent.failedHashes.some((failed) => failed.hash === hash) ? (
            <span className="sub">is not offered again in the same attempt</span>
          ) : null}
          {error === undefined ? null : <span className="sub text-bad">{error}</span>}
        </li>
      ))}
    </ol>
  );
}
