import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { GatewayApi } from '../conformance/own-target.ts';
import { runConformance } from '../conformance/run.ts';
import { toHttpUrl } from '../conformance/target.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { copyBuild, createMutant, SCRATCH } from './built-copy.ts';
import type { FleetMutation } from './fleet-mutations.ts';
import { GATEWAY_MUTATIONS, type GatewayMutation } from './gateway-mutations.ts';

/** Small enough for a test to exceed it. */
const MAX_MESSAGE_BYTES = 65_536;
const DEADLINE_MS = 5_000;
/** Where no check has to fail. */
const PATIENT_DEADLINE_MS = 20_000;
/** Settings of a gateway that {@link failedChecks} judges. */
export const MUTANT_SETTINGS = { OPAMP_GATEWAY_MAX_MESSAGE_BYTES: String(MAX_MESSAGE_BYTES) };

/** What a mutation run found. */
export interface MutationResult {
  readonly name: string;
  readonly does: string;
  /** What noticed it; undefined = nothing did. */
  readonly noticed: string | undefined;
}

/** Runs a scenario against its defect. Rejects when it fails without the defect too, for then it says nothing. */
export async function runFleetMutation(mutation: FleetMutation): Promise<MutationResult> {
  const { name, does, scenario } = mutation;
  const original = await copyBuild(join(SCRATCH, 'mutants', `${name}-original`));
  const mutant = await createMutant(mutation);
  try {
    await scenario(original);
    const noticed = await scenario(mutant).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    return { name, does, noticed };
  } finally {
    await rm(original, { recursive: true, force: true });
    await rm(mutant, { recursive: true, force: true });
  }
}

/** Numbers of those of the checks that a gateway of the stack does not pass. */
export async function failedChecks(
  stack: Stack,
  gateway: string,
  checks: readonly number[],
  deadlineMs = PATIENT_DEADLINE_MS,
): Promise<readonly number[]> {
  const url = `ws://127.0.0.1:${stack.port(gateway)}/v1/opamp`;
  const target = {
    url,
    httpUrl: toHttpUrl(url),
    api: new GatewayApi({ baseUrl: stack.apiUrl }),
    limits: { maxMessageBytes: MAX_MESSAGE_BYTES },
  };
  const report = await runConformance(target, { only: checks, transports: ['ws'], deadlineMs });
  return report.sections.flatMap((section) => section.checks.filter(({ verdict }) => verdict !== 'pass').map(({ id }) => id));
}

/**
 * Lets the conformance suite judge a gateway with this defect, started beside those of the stack. Answers the numbers of the
 * mutation's checks that did not pass.
 */
export async function runConformanceAgainstMutant(stack: Stack, mutation: GatewayMutation): Promise<readonly number[]> {
  const root = await createMutant(mutation);
  try {
    const gateway = await stack.startGateway(MUTANT_SETTINGS, root);
    const failed = await failedChecks(stack, gateway, mutation.checks, DEADLINE_MS);
    await stack.kill(gateway, 'SIGTERM');
    return failed;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** All gateway mutations, and before them the checks against a gateway without a defect. */
export async function runGatewayMutations(root?: string): Promise<readonly MutationResult[]> {
  const stack = await startStack({ gateways: 0, coordinators: 1, ...(root === undefined ? {} : { root }) });
  try {
    const gateway = await stack.startGateway(MUTANT_SETTINGS);
    const failed = await failedChecks(stack, gateway, [...new Set(GATEWAY_MUTATIONS.flatMap(({ checks }) => checks))]);
    if (failed.length > 0) throw new Error(`checks ${failed.join(', ')} do not pass without a defect`);
    await stack.kill(gateway, 'SIGTERM');
    const results: MutationResult[] = [];
    for (const mutation of GATEWAY_MUTATIONS) {
      const red = await runConformanceAgainstMutant(stack, mutation);
      const noticed = red.length === 0 ? undefined : `conformance check ${red.join(', ')}`;
      results.push({ name: mutation.name, does: mutation.does, noticed });
    }
    return results;
  } finally {
    await stack.stop();
  }
}
