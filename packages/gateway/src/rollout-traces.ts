import type { FleetSpec, RolloutSpec } from '@opamp-gateway/shared/fleet-spec';
import { formatRolloutField } from '@opamp-gateway/shared/fleet-spec';
import type { Span, Tracer } from '@opamp-gateway/shared/tracing';

/** Agents of one rollout whose way from offer to verdict is traced by one gateway: examples, not a census. */
const AGENTS = 20;
/** Rollouts whose traces are remembered. */
const ROLLOUTS = 1_000;

interface TracedRollout {
  text: string;
  /** The round in which every session meets the newest text. */
  round: { span: Span; generation: number } | undefined;
  /** By `<uid> <hash>`. */
  agents: Map<string, Span>;
  started: number;
}

/** The part of a rollout's trace that one gateway makes: rounds over all its sessions, and the way of some agents. */
export class RolloutTraces {
  readonly #tracer: Tracer;
  readonly #gateway: string;
  readonly #rollouts = new Map<string, TracedRollout>();
  #spec: FleetSpec | undefined;

  constructor(tracer: Tracer, gateway: string) {
    this.#tracer = tracer;
    this.#gateway = gateway;
  }

  /** A new spec has come, and a round over all sessions begins. */
  begin(spec: FleetSpec): void {
    if (!this.#tracer.enabled) return;
    this.#spec = spec;
    const traced = new Map([...spec.rollouts.values()].filter(({ trace }) => trace !== undefined).map((rollout) => [rollout.id, rollout]));
    for (const [id, known] of this.#rollouts) if (!traced.has(id)) this.#forget(id, known);
    for (const rollout of traced.values()) this.#begin(rollout, spec.generation);
  }

  /** Every session has met the spec of this generation, and Redis has what followed. */
  observed(generation: number): void {
    for (const known of this.#rollouts.values()) {
      if (known.round === undefined || known.round.generation > generation) continue;
      known.round.span.end();
      known.round = undefined;
    }
  }

  /** A config was offered to an agent. */
  offered(uid: string, hash: string, kind: string): void {
    const rollout = this.#find(hash);
    const known = rollout === undefined ? undefined : this.#rollouts.get(rollout.id);
    if (rollout === undefined || known === undefined || known.started >= AGENTS) return;
    known.started += 1;
    const attributes = { ...this.#attributes(rollout), 'opamp.agent.uid': uid, 'opamp.config.hash': hash, 'opamp.offer.kind': kind };
    known.agents.set(`${uid} ${hash}`, this.#tracer.start('agent.config', { parent: rollout.trace, attributes }));
  }

  /** An agent has said something final of a config. */
  answered(uid: string, hash: string, status: string, error: string): void {
    for (const known of this.#rollouts.values()) {
      const span = known.agents.get(`${uid} ${hash}`);
      if (span === undefined) continue;
      known.agents.delete(`${uid} ${hash}`);
      span.end({ 'opamp.config.status': status }, status === 'FAILED' ? error.slice(0, 300) : undefined);
    }
  }

  /** Ends what is open. */
  stop(): void {
    for (const [id, known] of this.#rollouts) this.#forget(id, known);
  }

  #begin(rollout: RolloutSpec, generation: number): void {
    const text = formatRolloutField(rollout);
    const known = this.#rollouts.get(rollout.id) ?? { text: '', round: undefined, agents: new Map<string, Span>(), started: 0 };
    if (known.text === text || this.#rollouts.size >= ROLLOUTS) return;
    this.#rollouts.set(rollout.id, known);
    known.text = text;
    known.round?.span.end();
    const attributes = {
      ...this.#attributes(rollout),
      'opamp.spec.generation': generation,
      'opamp.rollout.wave': rollout.wave,
      'opamp.rollout.direction': rollout.direction,
      'opamp.rollout.held': rollout.held,
    };
    known.round = { span: this.#tracer.start('gateway.evaluate', { parent: rollout.trace, attributes }), generation };
  }

  #forget(id: string, known: TracedRollout): void {
    known.round?.span.end();
    for (const span of known.agents.values()) span.end({ 'opamp.config.status': 'none' });
    this.#rollouts.delete(id);
  }

  #find(hash: string): RolloutSpec | undefined {
    if (this.#rollouts.size === 0 || this.#spec === undefined) return undefined;
    return [...this.#spec.rollouts.values()].find(
      ({ trace, to, from }) => trace !== undefined && (to.hash === hash || from?.hash === hash),
    );
  }

  #attributes(rollout: RolloutSpec): Record<string, string> {
    return { 'opamp.gateway.id': this.#gateway, 'opamp.rollout.id': rollout.id, 'opamp.group': rollout.group };
  }
}
