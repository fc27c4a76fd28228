import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { call } from './client.ts';

/** What a role can allow, in the words of the API. */
export type Permission =
  | 'read'
  | 'audit.read'
  | 'configs.write'
  | 'groups.write'
  | 'agents.write'
  | 'agents.command'
  | 'rollouts.write'
  | 'rollouts.stop'
  | 'rollouts.approve'
  | 'fleet.freeze'
  | 'secrets.reveal'
  | 'alerts.send'
  | 'access.manage';

/** Who looks at this page, and what the API lets them do. */
export interface Me {
  readonly name: string;
  readonly kind: 'token' | 'oidc' | 'anonymous';
  readonly role: 'viewer' | 'operator' | 'approver' | 'admin';
  /** `["*"]`: every group. */
  readonly groups: readonly string[];
  readonly permissions: readonly Permission[];
}

/** How people sign in here; answered without credentials. */
export interface SignInWays {
  readonly anonymous: boolean;
  readonly token: boolean;
  readonly oidc: { readonly issuer: string; readonly clientId: string; readonly scopes: readonly string[] } | null;
}

const MINUTE_MS = 60_000;

export function useMe(): UseQueryResult<Me> {
  return useQuery({
    queryKey: ['me'],
    queryFn: async ({ signal }) => await call<Me>('/me', { signal }),
    refetchInterval: MINUTE_MS,
    staleTime: MINUTE_MS,
  });
}

export function useSignInWays(): UseQueryResult<SignInWays> {
  return useQuery({ queryKey: ['sign-in-ways'], queryFn: async ({ signal }) => await call<SignInWays>('/auth', { signal }) });
}

/** What an action touches: things of no group, the fleet as a whole, or those of one group (null: agents in none). */
export type Touched = 'shared' | 'fleet' | { readonly group: string | null };

/**
 * What may be offered. Until the API has said who is looking nothing is: an action that appears late is better than one that is
 * refused.
 */
export function useMay(): (permission: Permission, touched: Touched) => boolean {
  const me = useMe().data;
  return (permission, touched) => {
    if (me === undefined || !me.permissions.includes(permission)) return false;
    if (touched === 'shared' || me.groups.includes('*')) return true;
    return touched !== 'fleet' && touched.group !== null && me.groups.includes(touched.group);
  };
}
