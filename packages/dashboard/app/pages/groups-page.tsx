import { useId, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { useMay } from '../api/access.ts';
import { call, queryText } from '../api/client.ts';
import { useGroups } from '../api/queries.ts';
import type { Group, Impact } from '../api/types.ts';
import { ActionButton, Dialog } from '../parts/action-dialog.tsx';
import { Answer, Badge, Empty, PageHead, ProblemBox } from '../parts/basics.tsx';
import { agentsText, configText, numberText } from '../words.ts';

/** Which agents belong together; what each group is proven to run. */
export function GroupsPage() {
  const groups = useGroups();
  const may = useMay();
  const [isOpen, setOpen] = useState(false);
  const mayMake = may('groups.write', 'fleet');
  return (
    <>
      <PageHead title="Groups" lead="A group is a selector. Of all that match an agent, the one with the highest priority is its group.">
        {mayMake ? (
          <button type="button" className="primary" onClick={() => setOpen(true)}>
            New group
          </button>
        ) : null}
      </PageHead>
      {isOpen ? (
        <Dialog title="New group" onClose={() => setOpen(false)}>
          <GroupForm onDone={() => setOpen(false)} />
        </Dialog>
      ) : null}
      <Answer query={groups}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="There are no groups yet">
              <p className="muted">Rollouts go to groups. The selector env=prod makes one of every agent that says so.</p>
              {mayMake ? (
                <button type="button" className="primary" onClick={() => setOpen(true)}>
                  Make the first one
                </button>
              ) : null}
            </Empty>
          ) : (
            <div className="card table-scroll">
              <table className="stacks">
                <thead>
                  <tr>
                    <th scope="col">Group</th>
                    <th scope="col" className="right">
                      Priority
                    </th>
                    <th scope="col">Proven version</th>
                    <th scope="col" className="right">
                      Connected
                    </th>
                    <th scope="col" className="right">
                      Unhealthy
                    </th>
                    <th scope="col">
                      <span className="visually-hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((group) => (
                    <GroupRow key={group.name} group={group} />
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Answer>
    </>
  );
}

function GroupRow({ group }: { readonly group: Group }) {
  const { name, selector, priority, mode, stable, counts, activeRollout, trailingHeld } = group;
  const unhealthy = counts.health['unhealthy'] ?? 0;
  const may = useMay();
  const [isEditing, setEditing] = useState(false);
  const client = useQueryClient();
  return (
    <tr>
      <th scope="row">
        <Link href={`/agents${queryText({ group: name })}`}>{name}</Link>
        <span className="sub">{selector === '' ? 'every agent' : <code>{selector}</code>}</span>
      </th>
      <td className="right" data-label="Priority">
        {numberText(priority)}
      </td>
      <td data-label="Proven version">
        {stable === null ? <span className="muted">none yet</span> : <Link href={`/configs/${stable.name}`}>{configText(stable)}</Link>}
        {mode === 'observe' ? <Badge tone="idle">Observed only</Badge> : null}
        {trailingHeld ? <Badge tone="warn">Late offers held</Badge> : null}
        {activeRollout === null ? null : (
          <span className="sub">
            <Link href={`/rollouts/${activeRollout}`}>rollout going on</Link>
          </span>
        )}
      </td>
      <td className="right" data-label="Connected">
        <span>
          {numberText(counts.connected)} <span className="muted">of {numberText(counts.agents)}</span>
        </span>
      </td>
      <td className={`right ${unhealthy > 0 ? 'text-bad' : 'muted'}`} data-label="Unhealthy">
        {numberText(unhealthy)}
      </td>
      <td className="row-actions">
        {may('groups.write', { group: name }) ? (
          <button type="button" className="quiet" aria-label={`Edit ${name}`} onClick={() => setEditing(true)}>
            Edit
          </button>
        ) : null}
        {may('groups.write', 'fleet') && activeRollout === null ? (
          <ActionButton
            kind="quiet"
            ariaLabel={`Delete ${name}`}
            action={{
              label: 'Delete',
              isDangerous: true,
              withReason: false,
              effect: `The group ${name} goes. Its ${agentsText(counts.agents)} fall to the next group that matches them, or to none.`,
              run: async () => {
                const { agentsChanging } = await call<Impact>(`/groups/${encodeURIComponent(name)}?dryRun=true`, { method: 'DELETE' });
                await call(`/groups/${encodeURIComponent(name)}${queryText({ expectAgents: agentsChanging })}`, { method: 'DELETE' });
                await client.invalidateQueries({ queryKey: ['groups'] });
              },
            }}
          />
        ) : null}
        {isEditing ? (
          <Dialog title={`Group ${name}`} onClose={() => setEditing(false)}>
            <GroupForm group={group} onDone={() => setEditing(false)} />
          </Dialog>
        ) : null}
      </td>
    </tr>
  );
}

/** Makes or changes a group; says first how many agents get another config by it. */
function GroupForm({ group, onDone }: { readonly group?: Group; readonly onDone: () => void }) {
  const [name, setName] = useState(group?.name ?? '');
  const [selector, setSelector] = useState(group?.selector ?? '');
  const [priority, setPriority] = useState(String(group?.priority ?? 0));
  const [mode, setMode] = useState<Group['mode']>(group?.mode ?? 'manage');
  const id = useId();
  const client = useQueryClient();
  const body = { selector, priority: Number(priority), mode };
  const isComplete = name !== '' && /^-?\d+$/.test(priority);
  const written = JSON.stringify([name, body]);
  // A comparison with the record of every agent: asked for by a person, not by each key that is pressed.
  const count = useMutation({
    mutationFn: async (_written: string) => await call<Impact>(`/groups/${encodeURIComponent(name)}?dryRun=true`, { method: 'PUT', body }),
  });
  const isOfThis = count.variables === written;
  const impact = isOfThis ? count.data : undefined;
  const save = useMutation({
    mutationFn: async () =>
      await call(`/groups/${encodeURIComponent(name)}`, {
        method: 'PUT',
        body: { ...body, ...(impact === undefined ? {} : { expectAgents: impact.agentsChanging }) },
      }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['groups'] });
      onDone();
    },
    // The fleet may have moved: it is counted again before the next try.
    onError: () => count.reset(),
  });
  return (
    <form
      className="stack-form"
      onSubmit={(event) => {
        event.preventDefault();
        save.reset();
        if (impact === undefined) count.mutate(written);
        else save.mutate();
      }}
    >
      {group === undefined ? (
        <div>
          <label htmlFor={`${id}-name`}>Name</label>
          <input
            id={`${id}-name`}
            value={name}
            required
            maxLength={63}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            title="Letters, digits, dots, underscores and hyphens"
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setName(event.target.value)}
          />
        </div>
      ) : null}
      <div>
        <label htmlFor={`${id}-selector`}>Selector</label>
        <input
          id={`${id}-selector`}
          value={selector}
          autoComplete="off"
          spellCheck={false}
          placeholder="env=prod, !label.hold"
          aria-describedby={`${id}-help`}
          onChange={(event) => setSelector(event.target.value)}
        />
        <p id={`${id}-help`} className="sub">
          k=v, k!=v, k in (a,b), k notin (a,b), k, !k, joined by commas. Empty means every agent.
        </p>
      </div>
      <div className="two">
        <div>
          <label htmlFor={`${id}-priority`}>Priority</label>
          <input
            id={`${id}-priority`}
            type="number"
            step={1}
            required
            value={priority}
            onChange={(event) => setPriority(event.target.value)}
          />
        </div>
        <div>
          <label htmlFor={`${id}-mode`}>Mode</label>
          <select id={`${id}-mode`} value={mode} onChange={(event) => setMode(event.target.value as Group['mode'])}>
            <option value="manage">Managed: gets configs</option>
            <option value="observe">Observed: counted only</option>
          </select>
        </div>
      </div>
      <div className="effect" aria-live="polite">
        {count.isPending ? (
          <span className="muted">Comparing with every agent …</span>
        ) : isOfThis && count.error !== null ? (
          <ProblemBox error={count.error} />
        ) : impact === undefined ? (
          <span className="muted">First see how many agents get another config by it.</span>
        ) : (
          <>
            <strong>
              {impact.estimated ? 'About ' : ''}
              {agentsText(impact.agentsChanging)}
            </strong>{' '}
            of {numberText(impact.agents)} get another config by this, without waves.
          </>
        )}
      </div>
      {save.error === null ? null : <ProblemBox error={save.error} />}
      <footer className="dialog-foot">
        <button type="button" onClick={onDone}>
          Keep as it is
        </button>
        <button type="submit" className="primary" disabled={!isComplete || count.isPending || save.isPending}>
          {impact === undefined ? 'How many agents?' : group === undefined ? 'Make the group' : 'Change it'}
        </button>
      </footer>
    </form>
  );
}
