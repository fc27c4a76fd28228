import { AgentCapabilities, ServerCapabilities } from '@opamp-gateway/proto/opamp';

/** A `capabilities` field: a set of bits in an unsigned 64-bit integer. [OpAMP AgentToServer.capabilities] */
export type CapabilityMask = bigint;

/** What an agent may say it can do, by the names of the protocol. */
export const AGENT_CAPABILITIES = Object.freeze({
  ReportsStatus: BigInt(AgentCapabilities.AgentCapabilities_ReportsStatus),
  AcceptsRemoteConfig: BigInt(AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig),
  ReportsEffectiveConfig: BigInt(AgentCapabilities.AgentCapabilities_ReportsEffectiveConfig),
  AcceptsPackages: BigInt(AgentCapabilities.AgentCapabilities_AcceptsPackages),
  ReportsPackageStatuses: BigInt(AgentCapabilities.AgentCapabilities_ReportsPackageStatuses),
  ReportsOwnTraces: BigInt(AgentCapabilities.AgentCapabilities_ReportsOwnTraces),
  ReportsOwnMetrics: BigInt(AgentCapabilities.AgentCapabilities_ReportsOwnMetrics),
  ReportsOwnLogs: BigInt(AgentCapabilities.AgentCapabilities_ReportsOwnLogs),
  AcceptsOpAMPConnectionSettings: BigInt(AgentCapabilities.AgentCapabilities_AcceptsOpAMPConnectionSettings),
  AcceptsOtherConnectionSettings: BigInt(AgentCapabilities.AgentCapabilities_AcceptsOtherConnectionSettings),
  AcceptsRestartCommand: BigInt(AgentCapabilities.AgentCapabilities_AcceptsRestartCommand),
  ReportsHealth: BigInt(AgentCapabilities.AgentCapabilities_ReportsHealth),
  ReportsRemoteConfig: BigInt(AgentCapabilities.AgentCapabilities_ReportsRemoteConfig),
  ReportsHeartbeat: BigInt(AgentCapabilities.AgentCapabilities_ReportsHeartbeat),
  ReportsAvailableComponents: BigInt(AgentCapabilities.AgentCapabilities_ReportsAvailableComponents),
  ReportsConnectionSettingsStatus: BigInt(AgentCapabilities.AgentCapabilities_ReportsConnectionSettingsStatus),
});

/** What a server may say it can do, by the names of the protocol. */
export const SERVER_CAPABILITIES = Object.freeze({
  AcceptsStatus: BigInt(ServerCapabilities.ServerCapabilities_AcceptsStatus),
  OffersRemoteConfig: BigInt(ServerCapabilities.ServerCapabilities_OffersRemoteConfig),
  AcceptsEffectiveConfig: BigInt(ServerCapabilities.ServerCapabilities_AcceptsEffectiveConfig),
  OffersPackages: BigInt(ServerCapabilities.ServerCapabilities_OffersPackages),
  AcceptsPackagesStatus: BigInt(ServerCapabilities.ServerCapabilities_AcceptsPackagesStatus),
  OffersConnectionSettings: BigInt(ServerCapabilities.ServerCapabilities_OffersConnectionSettings),
  AcceptsConnectionSettingsRequest: BigInt(ServerCapabilities.ServerCapabilities_AcceptsConnectionSettingsRequest),
});

/** Whether the mask holds every bit of `bits`. */
export function hasCapability(mask: CapabilityMask, bits: CapabilityMask): boolean {
  return (mask & bits) === bits;
}

/** Whether an agent may be offered a remote config at all. [OpAMP AgentCapabilities] */
export function acceptsRemoteConfig(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.AcceptsRemoteConfig);
}

/** Whether an agent will answer an offer with a RemoteConfigStatus. */
export function reportsRemoteConfig(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.ReportsRemoteConfig);
}

/** Whether an agent reports its ComponentHealth. */
export function reportsHealth(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.ReportsHealth);
}

/** Whether an agent reports the config that it runs. */
export function reportsEffectiveConfig(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.ReportsEffectiveConfig);
}

/** Whether an agent sends heartbeats, so that its silence means something. */
export function reportsHeartbeat(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.ReportsHeartbeat);
}

/** Whether an agent carries out the Restart command. */
export function acceptsRestartCommand(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.AcceptsRestartCommand);
}

/** Whether an agent takes new settings for its OpAMP connection (endpoint, headers, heartbeat interval). */
export function acceptsConnectionSettings(mask: CapabilityMask): boolean {
  return hasCapability(mask, AGENT_CAPABILITIES.AcceptsOpAMPConnectionSettings);
}

/** The names of an agent's bits, lowest first; an unknown bit appears as `Bit<n>`. */
export function agentCapabilityNames(mask: CapabilityMask): string[] {
  return capabilityNames(mask, AGENT_CAPABILITIES);
}

/** The names of a server's bits, lowest first; an unknown bit appears as `Bit<n>`. */
export function serverCapabilityNames(mask: CapabilityMask): string[] {
  return capabilityNames(mask, SERVER_CAPABILITIES);
}

function capabilityNames(mask: CapabilityMask, known: Readonly<Record<string, CapabilityMask>>): string[] {
  const byBit = new Map(Object.entries(known).map(([name, bit]) => [bit, name]));
  const names: string[] = [];
  for (let index = 0n; index < 64n; index += 1n) {
    const bit = 1n << index;
    if ((mask & bit) !== 0n) names.push(byBit.get(bit) ?? `Bit${index}`);
  }
  return names;
}
