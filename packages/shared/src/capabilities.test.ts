import { describe, expect, it } from 'vitest';
import {
  AGENT_CAPABILITIES,
  SERVER_CAPABILITIES,
  acceptsConnectionSettings,
  acceptsRemoteConfig,
  acceptsRestartCommand,
  agentCapabilityNames,
  hasCapability,
  reportsEffectiveConfig,
  reportsHealth,
  reportsHeartbeat,
  reportsRemoteConfig,
  serverCapabilityNames,
} from './capabilities.ts';

const union = (bits: Record<string, bigint>) => Object.values(bits).reduce((left, right) => left | right, 0n);

describe('capabilities', () => {
  it('knows all 16 agent bits and all 7 server bits', () => {
    expect(union(AGENT_CAPABILITIES)).toBe(0xffffn);
    expect(union(SERVER_CAPABILITIES)).toBe(0x7fn);
  });

  it('answers each question from one bit', () => {
    const questions: [(mask: bigint) => boolean, bigint][] = [
      [acceptsRemoteConfig, 0x2n],
      [reportsEffectiveConfig, 0x4n],
      [acceptsConnectionSettings, 0x100n],
      [acceptsRestartCommand, 0x400n],
      [reportsHealth, 0x800n],
      [reportsRemoteConfig, 0x1000n],
      [reportsHeartbeat, 0x2000n],
    ];
    for (const [ask, bit] of questions) {
      expect(ask(bit), ask.name).toBe(true);
      expect(ask(0xffff_ffff_ffff_ffffn ^ bit), ask.name).toBe(false);
    }
    expect(hasCapability(0x3n, 0x5n)).toBe(false);
    expect(hasCapability(0x7n, 0x5n)).toBe(true);
  });

  it('names bits in order and unknown ones by their number', () => {
    expect(agentCapabilityNames(0x1803n)).toEqual(['ReportsStatus', 'AcceptsRemoteConfig', 'ReportsHealth', 'ReportsRemoteConfig']);
    expect(agentCapabilityNames(1n << 63n)).toEqual(['Bit63']);
    expect(serverCapabilityNames(0x3n)).toEqual(['AcceptsStatus', 'OffersRemoteConfig']);
    expect(agentCapabilityNames(0n)).toEqual([]);
  });
});
