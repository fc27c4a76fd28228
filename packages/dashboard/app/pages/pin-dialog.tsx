import { useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import { useConfigs, useVersions } from '../api/queries.ts';
import type { AgentDetail } from '../api/types.ts';
import { ActionButton, Dialog } from '../parts/action-dialog.tsx';
import { ProblemBox } from '../parts/basics.tsx';

/** Gives one agent its own config, or takes it away again. */
export function PinButtons({ agent }: { readonly agent: AgentDetail }) {
  const [isOpen, setOpen] = useState(false);
  const client = useQueryClient();
  const refresh = async (): Promise<void> => await client.invalidateQueries({ queryKey: ['agent', agent.uid] });
  return (
    <>
      {agent.pin === null ? null : (
        <ActionButton
          action={{
            label: 'Remove the pin',
            withReason: false,
            effect: 'This one agent follows its group again.',
            run: async () => {
              await call(`/agents/${agent.uid}/pin`, { method: 'DELETE' });
              await refresh();
            },
          }}
        />
      )}
      {agent.capabilities.includes('AcceptsRemoteConfig') ? (
        <button type="button" onClick={() => setOpen(true)}>
          {agent.pin === null ? 'Pin a config' : 'Pin another config'}
        </button>
      ) : null}
      {isOpen ? <PinDialog agent={agent} refresh={refresh} onClose={() => setOpen(false)} /> : null}
    </>
  );
}

function PinDialog({
  agent,
  refresh,
  onClose,
}: {
  readonly agent: AgentDetail;
  readonly refresh: () => Promise<void>;
  readonly onClose: () => void;
}) {
  const configs = useConfigs().data?.items ?? [];
  const [chosen, setName] = useState(agent.config.desired?.name ?? '');
  const name = chosen === '' ? (configs[0]?.name ?? '') : chosen;
  const versions = useVersions(name).data?.items ?? [];
  const [version, setVersion] = useState('');
  const [error, setError] = useState<Error>();
  const pin = async (): Promise<void> => {
    try {
      await call(`/agents/${agent.uid}/pin`, {
        method: 'PUT',
        body: { config: { name, version: Number(version === '' ? versions[0]?.version : version) } },
      });
      await refresh();
      onClose();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <Dialog title="Pin a config" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void pin();
        }}
      >
        <p className="effect">This one agent gets its own config, and no rollout of its group moves it until the pin is removed.</p>
        <label htmlFor="pin-config">Config</label>
        <select id="pin-config" value={name} onChange={(event) => setName(event.target.value)}>
          {configs.map((config) => (
            <option key={config.name}>{config.name}</option>
          ))}
        </select>
        <label htmlFor="pin-version">Version</label>
        <select id="pin-version" value={version} onChange={(event) => setVersion(event.target.value)}>
          {versions.map((item) => (
            <option key={item.version} value={String(item.version)}>
              v{item.version} {item.message}
            </option>
          ))}
        </select>
        {error === undefined ? null : <ProblemBox error={error} />}
        <footer className="dialog-foot">
          <button type="button" onClick={onClose}>
            Keep as it is
          </button>
          <button type="submit" className="primary" disabled={versions.length === 0}>
            Pin
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
