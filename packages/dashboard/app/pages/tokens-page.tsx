import { useId, useRef, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useMay } from '../api/access.ts';
import { ApiProblem, call, queryText } from '../api/client.ts';
import { useAgentCredentials } from '../api/queries.ts';
import type { AgentCredential } from '../api/types.ts';
import { ActionButton, Dialog } from '../parts/action-dialog.tsx';
import { Answer, Badge, Empty, PageHead, ProblemBox, Time } from '../parts/basics.tsx';
import { fromLabelText } from '../parts/labels.ts';
import { numberText, type Tone } from '../words.ts';

const KINDS: Readonly<Record<AgentCredential['kind'], string>> = {
  agent: 'Token',
  enrolment: 'Enrolment',
  certificate: 'Certificate',
};

const STATES: Readonly<Record<AgentCredential['state'], readonly [string, Tone]>> = {
  active: ['Active', 'good'],
  revoked: ['Revoked', 'bad'],
  expired: ['Expired', 'idle'],
  spent: ['Spent', 'idle'],
};

/** What agents sign in with: made, shown once, revoked. */
export function TokensPage() {
  const may = useMay();
  const [isOpen, setOpen] = useState(false);
  const credentials = useAgentCredentials();
  const isMissing = credentials.error instanceof ApiProblem && credentials.error.status === 404;
  const mayManage = may('access.manage', 'fleet') && !isMissing;
  return (
    <>
      <PageHead title="Tokens" lead="What agents sign in with at the gateways. People sign in with API tokens or through the issuer.">
        {mayManage ? (
          <button type="button" className="primary" onClick={() => setOpen(true)}>
            New token
          </button>
        ) : null}
      </PageHead>
      {isOpen ? <NewToken onClose={() => setOpen(false)} /> : null}
      {isMissing ? (
        <Empty title="This coordinator keeps no tokens of agents">
          <p className="muted">Its gateways ask for a shared token, for a certificate, or for nothing.</p>
        </Empty>
      ) : (
        <Answer query={credentials}>
          {({ items, nextCursor }) =>
            items.length === 0 ? (
              <Empty title="No agent has a token of its own yet">
                <p className="muted">A token can give its agents labels and keep them to some groups.</p>
                {mayManage ? (
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
                      <th scope="col">Name</th>
                      <th scope="col">Kind</th>
                      <th scope="col">State</th>
                      <th scope="col">Gives</th>
                      <th scope="col">Made</th>
                      <th scope="col">Last used</th>
                      <th scope="col">Ends</th>
                      <th scope="col">
                        <span className="visually-hidden">Actions</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((item) => (
                      <TokenRow key={item.id} item={item} mayManage={mayManage} />
                    ))}
                  </tbody>
                </table>
                {nextCursor === null ? null : (
                  <p className="muted">These are the first {numberText(items.length)}; opampctl lists them all.</p>
                )}
              </div>
            )
          }
        </Answer>
      )}
    </>
  );
}

function TokenRow({ item, mayManage }: { readonly item: AgentCredential; readonly mayManage: boolean }) {
  const client = useQueryClient();
  const [state, tone] = STATES[item.state];
  const labels = Object.entries(item.labels);
  return (
    <tr>
      <th scope="row">
        {item.name}
        <span className="sub">
          <code>{item.id}</code>
        </span>
      </th>
      <td data-label="Kind">
        {KINDS[item.kind]}
        {item.maxUses === null ? null : (
          <span className="sub">
            {numberText(item.uses ?? 0)} of {numberText(item.maxUses)} used
          </span>
        )}
      </td>
      <td data-label="State">
        <Badge tone={tone}>{state}</Badge>
      </td>
      <td data-label="Gives">
        {labels.length === 0 ? <span className="muted">no label</span> : labels.map(([name, value]) => `${name}=${value}`).join(', ')}
        <span className="sub">{item.groups === null ? 'every group' : `only ${item.groups.join(', ')}`}</span>
      </td>
      <td data-label="Made">
        <Time at={item.createdAt} />
        <span className="sub">by {item.createdBy}</span>
      </td>
      <td data-label="Last used">
        <Time at={item.lastUsedAt} />
      </td>
      <td data-label="Ends">{item.expiresAt === null ? <span className="muted">no end</span> : <Time at={item.expiresAt} />}</td>
      <td className="row-actions">
        {mayManage && item.state === 'active' ? (
          <ActionButton
            kind="quiet"
            ariaLabel={`Revoke ${item.name}`}
            action={{
              label: 'Revoke',
              isDangerous: true,
              effect: revokeEffect(item),
              run: async (reason) => {
                await call(`/tokens/${encodeURIComponent(item.id)}${queryText({ reason })}`, { method: 'DELETE' });
                await client.invalidateQueries({ queryKey: ['agent-credentials'] });
              },
            }}
          />
        ) : null}
      </td>
    </tr>
  );
}

/** What a revocation does; agents keep tokens that they got by enrolment. */
function revokeEffect({ name, kind }: AgentCredential): string {
  if (kind === 'enrolment')
    return `Nobody can enrol with ${name} any more. Tokens that agents got by it stay in force. This cannot be undone.`;
  return `Every agent that signed in with ${name} is cut off at once and cannot come back with it. This cannot be undone.`;
}

const LIVES = [
  ['', 'no end'],
  ['24h', 'a day'],
  ['30d', '30 days'],
  ['90d', '90 days'],
  ['365d', 'a year'],
] as const;

function NewToken({ onClose }: { readonly onClose: () => void }) {
  const [kind, setKind] = useState<'agent' | 'enrolment'>('agent');
  const [name, setName] = useState('');
  const [labels, setLabels] = useState('');
  const [groups, setGroups] = useState('');
  const [life, setLife] = useState('');
  const [uses, setUses] = useState('1');
  const id = useId();
  const client = useQueryClient();
  const read = fromLabelText(labels);
  const make = useMutation({
    mutationFn: async () => {
      const names = groups
        .split(',')
        .map((text) => text.trim())
        .filter((text) => text !== '');
      return await call<{ token: string | null }>('/tokens', {
        method: 'POST',
        body: {
          kind,
          name: name.trim(),
          labels: read.labels,
          groups: names.length === 0 ? null : names,
          ...(life === '' ? {} : { expiresIn: life }),
          ...(kind === 'enrolment' ? { maxUses: Number(uses) } : {}),
        },
      });
    },
    onSuccess: async () => await client.invalidateQueries({ queryKey: ['agent-credentials'] }),
  });
  if (make.data !== undefined)
    return (
      <Dialog title="The token" onClose={onClose}>
        <Secret text={make.data.token ?? ''} onClose={onClose} />
      </Dialog>
    );
  return (
    <Dialog title="New token" onClose={onClose}>
      <form
        className="stack-form"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate();
        }}
      >
        <div>
          <label htmlFor={`${id}-name`}>Name, for people</label>
          <input
            id={`${id}-name`}
            value={name}
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._@\/ \-]*"
            title="Letters, digits, spaces and . _ @ / -, a letter or digit first"
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
          />
        </div>
        <div className="two">
          <div>
            <label htmlFor={`${id}-kind`}>Kind</label>
            <select id={`${id}-kind`} value={kind} onChange={(event) => setKind(event.target.value as typeof kind)}>
              <option value="agent">Token of agents</option>
              <option value="enrolment">Enrolment: exchanged for one</option>
            </select>
          </div>
          <div>
            <label htmlFor={`${id}-life`}>Ends after</label>
            <select id={`${id}-life`} value={life} onChange={(event) => setLife(event.target.value)}>
              {LIVES.map(([value, word]) => (
                <option key={value} value={value}>
                  {value === '' && kind === 'enrolment' ? 'a day, as usual' : word}
                </option>
              ))}
            </select>
          </div>
        </div>
        {kind === 'enrolment' ? (
          <div>
            <label htmlFor={`${id}-uses`}>How many agents may exchange it</label>
            <input id={`${id}-uses`} type="number" min={1} max={1_000_000} value={uses} onChange={(event) => setUses(event.target.value)} />
          </div>
        ) : null}
        <div>
          <label htmlFor={`${id}-labels`}>Labels of its agents</label>
          <input
            id={`${id}-labels`}
            value={labels}
            placeholder="site=madrid, team=payments"
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setLabels(event.target.value)}
          />
          {read.problem === undefined ? null : <p className="problem">{read.problem}</p>}
        </div>
        <div>
          <label htmlFor={`${id}-groups`}>Only these groups</label>
          <input
            id={`${id}-groups`}
            value={groups}
            placeholder="every group"
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setGroups(event.target.value)}
          />
        </div>
        {make.error === null ? null : <ProblemBox error={make.error} />}
        <footer className="dialog-foot">
          <button type="button" onClick={onClose}>
            Make none
          </button>
          <button type="submit" className="primary" disabled={make.isPending || read.problem !== undefined || name.trim() === ''}>
            Make it
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The secret, which is shown this once. */
function Secret({ text, onClose }: { readonly text: string; readonly onClose: () => void }) {
  const [copied, setCopied] = useState(false);
  const shown = useRef<HTMLPreElement>(null);
  /** Browsers give no clipboard to pages that came without TLS: there the text is marked, for the keys of the system. */
  const mark = (): void => {
    if (shown.current !== null) globalThis.getSelection()?.selectAllChildren(shown.current);
  };
  return (
    <div className="stack-form">
      <p>It is shown this once and kept nowhere: put it where the agent reads it.</p>
      <pre className="secret" ref={shown}>
        {text}
      </pre>
      <footer className="dialog-foot">
        <button
          type="button"
          onClick={() => {
            if (!globalThis.isSecureContext) return mark();
            navigator.clipboard.writeText(text).then(() => setCopied(true), mark);
          }}
        >
          {copied ? 'Copied' : globalThis.isSecureContext ? 'Copy' : 'Mark it'}
        </button>
        <button type="button" className="primary" onClick={onClose}>
          I have it
        </button>
      </footer>
    </div>
  );
}
