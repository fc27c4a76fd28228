/** Main module of a process that holds one swarm; its parent talks to it over IPC and owns its life. */
import type { Swarm } from './swarm-api.ts';
import { createSwarm } from './swarm.ts';
import type { SwarmRequest, SwarmResponse } from './swarm-messages.ts';

let swarm: Swarm | undefined;

function current(): Swarm {
  if (swarm === undefined) throw new Error('no swarm was created');
  return swarm;
}

async function handle(request: SwarmRequest): Promise<unknown> {
  switch (request.call) {
    case 'create':
      swarm = createSwarm(request.options);
      return undefined;
    case 'start':
      return current().start();
    case 'stop':
      return current().stop();
    case 'records':
      return current().records(request.selection);
    case 'truths':
      return current().truths();
    case 'counts':
      return current().counts();
    case 'summary':
      return current().summary();
    case 'control':
      return current().control(request.action, request.selection);
  }
}

async function answer(request: SwarmRequest): Promise<void> {
  let response: SwarmResponse;
  try {
    response = { id: request.id, result: await handle(request) };
  } catch (error) {
    response = { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(response);
}

process.on('message', (request: SwarmRequest) => void answer(request));
// Without its parent a swarm has no purpose.
process.on('disconnect', () => process.exit(0));
// The terminal's Ctrl-C reaches the whole group; the parent decides when this ends.
process.on('SIGINT', () => undefined);
