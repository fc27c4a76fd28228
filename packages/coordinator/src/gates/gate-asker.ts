import type { Gate } from '../rollout/gate-strategy.ts';
import type { FieldProblem } from '../rollout/service.ts';
import type { GateAnswer, GateAsker } from '../rollout/ports.ts';
import { findAbove, findBase } from './allowed-urls.ts';
import type { AllowedUrl } from './allowed-urls.ts';
import { askPrometheus } from './prometheus-gate.ts';
import { askWebhook } from './webhook-gate.ts';

/** What the gates of strategies may reach. A strategy only chooses among these. */
export interface GateSettings {
  /** Base URLs of Prometheus servers. */
  prometheusUrls: readonly AllowedUrl[];
  /** Receivers of webhooks: these URLs and everything below them. */
  webhookUrls: readonly AllowedUrl[];
  /** Sign every webhook; without one no strategy may have a webhook gate. */
  webhookSecrets: readonly Buffer[];
}

/** No gate may ask anybody. */
export const NO_GATES: GateSettings = { prometheusUrls: [], webhookUrls: [], webhookSecrets: [] };

/** The server that a gate means; a text says why there is none. */
function serverOf(gate: Exclude<Gate, string>, settings: GateSettings): AllowedUrl | string {
  switch (gate.type) {
    case 'manual':
      return 'nobody is asked';
    case 'prometheus': {
      const { prometheusUrls: allowed } = settings;
      const [only] = allowed;
      if (gate.url === null) {
        if (allowed.length === 1 && only !== undefined) return only;
        return allowed.length === 0
          ? 'no Prometheus server is allowed (OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS)'
          : `is required: ${allowed.length} Prometheus servers are allowed (OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS)`;
      }
      return findBase(allowed, gate.url) ?? `is not among the servers that are allowed (OPAMP_COORDINATOR_GATE_PROMETHEUS_URLS)`;
    }
    case 'webhook':
      if (settings.webhookSecrets.length === 0) return 'there is no secret to sign with (OPAMP_COORDINATOR_GATE_WEBHOOK_SECRET)';
      return findAbove(settings.webhookUrls, gate.url) ?? 'is not below a URL that is allowed (OPAMP_COORDINATOR_GATE_WEBHOOK_URLS)';
  }
}

/** What the settings of this coordinator do not allow of a strategy's gates. */
export function refuseGates(gates: readonly Gate[], settings: GateSettings): FieldProblem[] {
  return gates.flatMap((gate, index) => {
    if (typeof gate === 'string' || gate.type === 'manual') return [];
    const server = serverOf(gate, settings);
    return typeof server === 'string' ? [{ path: `strategy.gates[${index}].url`, message: server }] : [];
  });
}

/** Builds what asks Prometheus servers and webhook receivers. `nowMs`: wall clock, for signatures. */
export function createGateAsker(settings: GateSettings, nowMs: () => number): GateAsker {
  return {
    async ask(question, signal): Promise<GateAnswer> {
      const { gate } = question;
      const server = serverOf(gate, settings);
      // Stored by a coordinator with other settings.
      if (typeof server === 'string') throw new Error(`this coordinator does not ask it: the URL ${server}`);
      return gate.type === 'prometheus'
        ? await askPrometheus(gate, question, server, signal)
        : await askWebhook(gate, question, server, { secrets: settings.webhookSecrets, nowMs }, signal);
    },
  };
}
