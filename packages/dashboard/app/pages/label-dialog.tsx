import { useId, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import type { AgentDetail } from '../api/types.ts';
import { Dialog } from '../parts/action-dialog.tsx';
import { ProblemBox } from '../parts/basics.tsx';
import { fromLabelText, toLabelText } from '../parts/labels.ts';

/** Changes the labels that operators put on an agent. */
export function LabelButton({ agent }: { readonly agent: AgentDetail }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        Labels
      </button>
      {isOpen ? <LabelDialog agent={agent} onClose={() => setOpen(false)} /> : null}
    </>
  );
}

function LabelDialog({ agent, onClose }: { readonly agent: AgentDetail; readonly onClose: () => void }) {
  const [text, setText] = useState(toLabelText(agent.labels));
  const read = fromLabelText(text);
  const id = useId();
  const client = useQueryClient();
  const save = useMutation({
    mutationFn: async () => await call(`/agents/${agent.uid}/labels`, { method: 'PUT', body: { labels: read.labels } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['agent', agent.uid] });
      onClose();
    },
  });
  return (
    <Dialog title="Labels" onClose={onClose}>
      <form
        className="stack-form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <div>
          <label htmlFor={id}>Labels, joined by commas</label>
          <input
            id={id}
            value={text}
            placeholder="team=payments, hold=audit"
            autoComplete="off"
            spellCheck={false}
            aria-describedby={`${id}-help`}
            onChange={(event) => setText(event.target.value)}
          />
          <p id={`${id}-help`} className="sub">
            Selectors see them as label.team=payments. They can move this one agent to another group, and so to another config.
          </p>
          {read.problem === undefined ? null : <p className="problem">{read.problem}</p>}
        </div>
        {save.error === null ? null : <ProblemBox error={save.error} />}
        <footer className="dialog-foot">
          <button type="button" onClick={onClose}>
            Keep as they are
          </button>
          <button type="submit" className="primary" disabled={save.isPending || read.problem !== undefined}>
            Label this agent
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
