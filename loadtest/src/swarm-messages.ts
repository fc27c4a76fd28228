/** What a swarm's process and its parent say to each other over Node's IPC channel. */
import type { AgentSelection, RecordSelection, SwarmAction, SwarmOptions } from './swarm-api.ts';

/** A request of the parent. */
export type SwarmRequest = { readonly id: number } & (
  | { readonly call: 'create'; readonly options: SwarmOptions }
  | { readonly call: 'start' }
  | { readonly call: 'stop' }
  | { readonly call: 'records'; readonly selection: RecordSelection }
  | { readonly call: 'truths' }
  | { readonly call: 'counts' }
  | { readonly call: 'summary' }
  | { readonly call: 'control'; readonly action: SwarmAction; readonly selection: AgentSelection }
);

/** A request without its number. */
export type SwarmCall = SwarmRequest extends infer Request ? (Request extends SwarmRequest ? Omit<Request, 'id'> : never) : never;

/** The answer to the request with the same id. */
export type SwarmResponse = { readonly id: number } & ({ readonly result: unknown } | { readonly error: string });
