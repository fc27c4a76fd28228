/** What a caller of the API may be, the weakest first. */
export const ROLES = ['viewer', 'operator', 'approver', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Everything that a role can allow. The list is closed: clients may show or hide what they offer by it. */
export const PERMISSIONS = [
  'read',
  'audit.read',
  'configs.write',
  'groups.write',
  'agents.write',
  'agents.command',
  'rollouts.write',
  'rollouts.stop',
  'rollouts.approve',
  'fleet.freeze',
  'alerts.send',
  'gateways.manage',
  'secrets.reveal',
  'access.manage',
  'fleet.backup',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** What each permission stands for, in the words of the documentation. */
export const PERMISSION_TEXT: Readonly<Record<Permission, string>> = {
  read: 'look at configs, groups, agents, rollouts, gateways',
  'audit.read': 'read and export the audit log',
  'configs.write': 'store versions of configs',
  'groups.write': 'change groups',
  'agents.write': 'label, pin and forget agents',
  'agents.command': 'restart agents, send them custom messages',
  'rollouts.write': 'start rollouts, and every action on one but the approval',
  'rollouts.stop': 'pause and abort rollouts',
  'rollouts.approve': 'approve a wave that waits for it',
  'fleet.freeze': 'stop all offers, and allow them again',
  'alerts.send': 'send alerts again that were given up, and test alerts',
  'gateways.manage': 'drain gateways, spread agents anew',
  'secrets.reveal': 'see effective configs with their secrets',
  'access.manage': 'manage what agents sign in with',
  'fleet.backup': 'save everything as one file, and bring such a file back',
};

const VIEWER: readonly Permission[] = ['read', 'audit.read'];

/** What each role may do. */
export const ROLE_PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: VIEWER,
  operator: [
    ...VIEWER,
    'configs.write',
    'groups.write',
    'agents.write',
    'agents.command',
    'rollouts.write',
    'rollouts.stop',
    'fleet.freeze',
    'alerts.send',
    'gateways.manage',
    'secrets.reveal',
  ],
  approver: [...VIEWER, 'rollouts.stop', 'rollouts.approve'],
  admin: PERMISSIONS,
};

/** The groups that a credential is for. */
export type Scope = '*' | ReadonlySet<string>;

/** What a credential allows. */
export interface Grant {
  /** The strongest of the roles. */
  readonly role: Role;
  /** The others, where somebody has several. */
  readonly also?: readonly Role[];
  readonly scope: Scope;
}

/** Who makes a request. */
export interface Identity extends Grant {
  /** The actor in events and audit entries. */
  readonly name: string;
  /** `anonymous`: no credentials are configured, the caller is on this machine. */
  readonly kind: 'token' | 'oidc' | 'anonymous';
}

/** Everything, everywhere. */
export const FULL_GRANT: Grant = { role: 'admin', scope: '*' };

/** True when `text` names a role. */
export function isRole(text: unknown): text is Role {
  return (ROLES as readonly unknown[]).includes(text);
}

/** Whether this caller's role allows it; for which groups is another question. */
export function allows(grant: Grant, permission: Permission): boolean {
  return [grant.role, ...(grant.also ?? [])].some((role) => ROLE_PERMISSIONS[role].includes(permission));
}

/** Everything that this caller's role, or its roles together, allow. */
export function permissionsOf(grant: Grant): Permission[] {
  return PERMISSIONS.filter((permission) => allows(grant, permission));
}

/** The roles that allow it. */
export function rolesWith(permission: Permission): Role[] {
  return ROLES.filter((role) => ROLE_PERMISSIONS[role].includes(permission));
}

/** Whether a credential is for this group. What belongs to no group is for those only that are for all. */
export function covers(grant: Grant, group: string | null): boolean {
  return grant.scope === '*' || (group !== null && grant.scope.has(group));
}

/** The groups as the API shows them. */
export function scopeList(scope: Scope): string[] {
  return scope === '*' ? ['*'] : [...scope].toSorted();
}

/** The groups that a list of names stands for; `*` anywhere in it means all of them. */
export function toScope(names: readonly string[]): Scope {
  return names.includes('*') ? '*' : new Set(names);
}

/** The table of roles and permissions, as docs/api.md shows it. */
export function renderRoleTable(): string {
  const rows = PERMISSIONS.map((permission) => {
    const marks = ROLES.map((role) => (ROLE_PERMISSIONS[role].includes(permission) ? 'yes' : ''));
    return `| \`${permission}\` | ${PERMISSION_TEXT[permission]} | ${marks.join(' | ')} |`;
  });
  return [`| permission | to | ${ROLES.join(' | ')} |`, `|---|---|${'---|'.repeat(ROLES.length)}`, ...rows].join('\n');
}
