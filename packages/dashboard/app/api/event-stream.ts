import { useEffect, useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { send } from './client.ts';
import type { RolloutEvent } from './types.ts';

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 5_000;
/** The coordinator sends something every 15 s; after three times that the stream is dead, whatever the connection says. */
const SILENCE_MS = 45_000;

/** One message of a `text/event-stream`. */
interface Message {
  readonly event: string;
  readonly data: string;
}

/** Reads server-sent events through `fetch`: EventSource cannot send the header that carries the token. */
async function* readMessages(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      pending += decoder.decode(value, { stream: true });
      const blocks = pending.split('\n\n');
      pending = blocks.pop() ?? '';
      for (const block of blocks) {
        const lines = block.split('\n');
        const valuesOf = (field: string): string[] =>
          lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trimStart());
        const data = valuesOf('data').join('\n');
        if (data !== '') yield { event: valuesOf('event')[0] ?? 'message', data };
      }
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * The events of a rollout, growing while it runs. A broken stream is opened again after the last event received, so
 * that none is lost and none comes twice. Every event makes the rollout's own record be read again.
 */
export function useRolloutEvents(id: string): { readonly events: readonly RolloutEvent[]; readonly isLive: boolean } {
  const [state, setState] = useState<{ events: readonly RolloutEvent[]; isLive: boolean }>({ events: [], isLive: false });
  const client = useQueryClient();

  useEffect(() => {
    const stop = new AbortController();
    let events: readonly RolloutEvent[] = [];
    let ended = false;
    let waitMs = FIRST_RETRY_MS;

    const readOnce = async (): Promise<void> => {
      const silent = new AbortController();
      let alarm = setTimeout(() => silent.abort(), SILENCE_MS);
      const onBytes = (): void => {
        clearTimeout(alarm);
        alarm = setTimeout(() => silent.abort(), SILENCE_MS);
      };
      try {
        await readUntilBroken(AbortSignal.any([stop.signal, silent.signal]), onBytes);
      } finally {
        clearTimeout(alarm);
      }
    };

    const readUntilBroken = async (signal: AbortSignal, onBytes: () => void): Promise<void> => {
      const after = events.at(-1)?.seq ?? 0;
      const response = await send(`/rollouts/${encodeURIComponent(id)}/events?after=${after}`, {
        headers: { accept: 'text/event-stream' },
        signal,
      });
      if (response.status === 404) ended = true;
      if (!response.ok || response.body === null) return;
      setState({ events, isLive: true });
      for await (const { event, data } of readMessages(response.body, onBytes)) {
        waitMs = FIRST_RETRY_MS;
        if (event === 'end') ended = true;
        else {
          const next = JSON.parse(data) as RolloutEvent;
          if (next.seq <= (events.at(-1)?.seq ?? 0)) continue;
          events = [...events, next];
          setState({ events, isLive: true });
        }
        void client.invalidateQueries({ queryKey: ['rollout', id] });
      }
    };

    const follow = async (): Promise<void> => {
      while (!stop.signal.aborted && !ended) {
        try {
          await readOnce();
        } catch {
          // The marker of the link says so; here it only means: try again.
        }
        if (stop.signal.aborted) return;
        setState({ events, isLive: false });
        if (ended) return;
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        waitMs = Math.min(MAX_RETRY_MS, waitMs * 2);
      }
    };
    setState({ events: [], isLive: false });
    void follow();
    return () => stop.abort();
  }, [id, client]);

  return state;
}
