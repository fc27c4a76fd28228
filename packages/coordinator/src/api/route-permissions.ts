import type { Permission } from '../access/roles.ts';

/** What a route asks of its caller. */
export interface RouteRule {
  /** What the caller's role must allow; of several, one. */
  readonly permission: Permission | readonly Permission[];
  /**
   * Whose things the route touches. `group`, `agent`, `rollout`: those of one group, checked where the thing has been found.
   * `list`: things of many groups, of which a caller sees its own. `fleet`: the fleet as a whole, so the credential must be
   * for all groups. `shared`: things that belong to no group.
   */
  readonly touches: 'group' | 'agent' | 'rollout' | 'list' | 'fleet' | 'shared';
}

const ROLLOUT_WRITE: RouteRule = { permission: 'rollouts.write', touches: 'rollout' };
const ROLLOUT_STOP: RouteRule = { permission: 'rollouts.stop', touches: 'rollout' };
const AGENT_WRITE: RouteRule = { permission: 'agents.write', touches: 'agent' };
const AGENT_COMMAND: RouteRule = { permission: 'agents.command', touches: 'agent' };
const ACCESS: RouteRule = { permission: 'access.manage', touches: 'fleet' };
const SHARED_READ: RouteRule = { permission: 'read', touches: 'shared' };
const GATEWAY_MANAGE: RouteRule = { permission: 'gateways.manage', touches: 'fleet' };
const LIST_READ: RouteRule = { permission: 'read', touches: 'list' };

/**
 * Every route below `/api/v1` that needs credentials, with what it asks for. A route that is not listed here is not served: the
 * server refuses to start with it.
 */
export const ROUTE_RULES: Readonly<Record<string, RouteRule>> = {
  'GET /me': SHARED_READ,

  'GET /configs': SHARED_READ,
  'GET /configs/:name': SHARED_READ,
  'GET /configs/:name/versions': SHARED_READ,
  'GET /configs/:name/versions/:version': SHARED_READ,
  'GET /configs/:name/diff': SHARED_READ,
  'PUT /configs/:name': { permission: 'configs.write', touches: 'shared' },
  'POST /configs/validate': LIST_READ,

  'GET /groups': LIST_READ,
  'GET /groups/:name': { permission: 'read', touches: 'group' },
  'PUT /groups/:name': { permission: 'groups.write', touches: 'group' },
  'POST /groups/:name/resume': { permission: 'groups.write', touches: 'group' },
  'DELETE /groups/:name': { permission: 'groups.write', touches: 'fleet' },

  'GET /agents': LIST_READ,
  'GET /agents/:uid': { permission: 'read', touches: 'agent' },
  'PUT /agents/:uid/labels': AGENT_WRITE,
  'PUT /agents/:uid/pin': AGENT_WRITE,
  'DELETE /agents/:uid/pin': AGENT_WRITE,
  'DELETE /agents/:uid': AGENT_WRITE,
  'POST /agents/:uid/restart': AGENT_COMMAND,
  'POST /agents/:uid/custom-messages': AGENT_COMMAND,

  'POST /rollouts': { permission: 'rollouts.write', touches: 'group' },
  'GET /rollouts': LIST_READ,
  'GET /rollouts/:id': { permission: 'read', touches: 'rollout' },
  'GET /rollouts/:id/failures': { permission: 'read', touches: 'rollout' },
  'GET /rollouts/:id/events': { permission: 'read', touches: 'rollout' },
  'PATCH /rollouts/:id': ROLLOUT_WRITE,
  'POST /rollouts/:id/pause': ROLLOUT_STOP,
  'POST /rollouts/:id/abort': ROLLOUT_STOP,
  'POST /rollouts/:id/resume': ROLLOUT_WRITE,
  'POST /rollouts/:id/rollback': ROLLOUT_WRITE,
  'POST /rollouts/:id/retry': ROLLOUT_WRITE,
  'POST /rollouts/:id/cancel': ROLLOUT_WRITE,
  // Whether it is an approval, or cuts a soak short, is seen when it is done; then the right one of the two is asked for.
  'POST /rollouts/:id/promote': { permission: ['rollouts.write', 'rollouts.approve'], touches: 'rollout' },

  'GET /fleet': LIST_READ,
  'GET /fleet/drift': LIST_READ,
  'GET /fleet/abilities': LIST_READ,
  // Connections by gateway, not by group.
  'GET /fleet/history': SHARED_READ,
  'POST /fleet/freeze': { permission: 'fleet.freeze', touches: 'fleet' },
  'POST /fleet/unfreeze': { permission: 'fleet.freeze', touches: 'fleet' },

  'GET /backup': { permission: 'fleet.backup', touches: 'fleet' },
  'POST /restore': { permission: 'fleet.backup', touches: 'fleet' },
  'GET /tokens': ACCESS,
  'GET /tokens/:id': ACCESS,
  'POST /tokens': ACCESS,
  'PATCH /tokens/:id': ACCESS,
  'DELETE /tokens/:id': ACCESS,

  'GET /gateways': SHARED_READ,
  'GET /alerts': { permission: 'read', touches: 'fleet' },
  'GET /alerts/targets': { permission: 'read', touches: 'fleet' },
  'POST /alerts/retry': { permission: 'alerts.send', touches: 'fleet' },
  'POST /alerts/test': { permission: 'alerts.send', touches: 'fleet' },
  'POST /gateways/:id/drain': GATEWAY_MANAGE,
  'POST /gateways/:id/undrain': GATEWAY_MANAGE,
  'POST /gateways/rebalance': GATEWAY_MANAGE,
  'GET /audit': { permission: 'audit.read', touches: 'list' },
  // The chain goes through the entries of all groups.
  'GET /audit/verify': { permission: 'audit.read', touches: 'fleet' },
};

/** The rule of a route, by method and by its pattern below `/api/v1`. Throws for one that has none. */
export function ruleOf(method: string, pattern: string): RouteRule {
  const rule = Object.hasOwn(ROUTE_RULES, `${method} ${pattern}`) ? ROUTE_RULES[`${method} ${pattern}`] : undefined;
  if (rule === undefined) throw new Error(`the route ${method} ${pattern} has no entry in api/route-permissions.ts`);
  return rule;
}
