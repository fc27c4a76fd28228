import type { ComponentReference, ConfigModel, Pipeline } from './config-model.ts';
import { quoted } from './finding.ts';
import { findCycles } from './graph-cycles.ts';
import type { Signal } from './ids.ts';
import { lookUp } from './signals-table.ts';
import type { ValidationContext } from './validation-context.ts';

type Side = 'exporters' | 'receivers';

/** Where a connector is named on one side, by signal. */
type Uses = Map<Signal, { pipeline: Pipeline; reference: ComponentReference }[]>;

interface ConnectorUse {
  readonly id: string;
  readonly type: string;
  readonly exporters: Uses;
  readonly receivers: Uses;
}

/** Ids that are both a connector and a receiver or exporter (E_CONN_AMBIGUOUS). Returns them: nothing more is said about their use. */
export function checkAmbiguousConnectors(model: ConfigModel, context: ValidationContext): ReadonlySet<string> {
  const { sections } = model;
  const ambiguous = new Set<string>();
  for (const connector of sections.connectors.definitions.values()) {
    context.sink.step();
    const { id, path, keyOffset } = connector;
    const other = sections.exporters.definitions.has(id) ? 'exporter' : sections.receivers.definitions.has(id) ? 'receiver' : null;
    if (other === null) continue;
    ambiguous.add(id);
    const renamed = `${id}/connector`;
    context.sink.error('E_CONN_AMBIGUOUS', {
      path,
      offset: keyOffset,
      message: `connectors::${id}: ambiguous ID: Found both ${quoted(id)} ${other} and ${quoted(id)} connector. Change one of the components' IDs to eliminate ambiguity (e.g. rename ${quoted(id)} connector to ${quoted(renamed)})`,
      suggestion: `rename the connector to \`${renamed}\``,
    });
  }
  return ambiguous;
}

/**
 * Checks that each connector leads from somewhere to somewhere with signals it can connect (E_CONN_EXPORTER, E_CONN_RECEIVER),
 * and that pipelines joined by connectors form no cycle (E_CYCLE). Connector types that the table does not know are only
 * checked for standing on both sides.
 */
export function checkConnectors(model: ConfigModel, ambiguous: ReadonlySet<string>, context: ValidationContext): void {
  const uses = collectUses(model, ambiguous, context);
  const hidden = { exporters: hiddenEnds(model, 'exporters', context), receivers: hiddenEnds(model, 'receivers', context) };
  for (const use of uses.values()) {
    checkSide(use, 'exporters', hidden.receivers, context);
    checkSide(use, 'receivers', hidden.exporters, context);
  }
  checkCycles(uses, context);
}

function collectUses(model: ConfigModel, ambiguous: ReadonlySet<string>, context: ValidationContext): Map<string, ConnectorUse> {
  const uses = new Map<string, ConnectorUse>();
  for (const pipeline of model.service.pipelines) {
    const { signal } = pipeline;
    if (signal === null) continue;
    for (const side of ['exporters', 'receivers'] as const) {
      for (const reference of pipeline[side].references) {
        context.sink.step();
        const { id, type } = reference;
        if (ambiguous.has(id) || !model.sections.connectors.definitions.has(id)) continue;
        let use = uses.get(id);
        if (use === undefined) {
          use = { id, type, exporters: new Map(), receivers: new Map() };
          uses.set(id, use);
        }
        const bySignal = use[side].get(signal);
        if (bySignal === undefined) use[side].set(signal, [{ pipeline, reference }]);
        else bySignal.push({ pipeline, reference });
      }
    }
  }
  return uses;
}

/** Whether a connector type turns one signal into another; undefined when the type is not known. */
function connects(type: string, from: Signal, to: Signal, context: ValidationContext): boolean | undefined {
  return lookUp(context.signals.connectors, type)?.includes(`${from}>${to}`);
}

function checkSide(use: ConnectorUse, side: Side, hidden: HiddenEnds, context: ValidationContext): void {
  const other: Side = side === 'exporters' ? 'receivers' : 'exporters';
  for (const [signal, places] of use[side]) {
    const partners = [...use[other].keys()];
    context.sink.step(1 + partners.length);
    const supported = partners.some((partner) => {
      const [from, to] = side === 'exporters' ? [signal, partner] : [partner, signal];
      return connects(use.type, from, to, context) ?? true;
    });
    if (supported || hidden.any || hidden.ids.has(use.id)) continue;
    const first = places[0];
    if (first === undefined) continue;
    const names = places.slice(0, MAX_NAMED_PIPELINES).map((place) => place.pipeline.id);
    const [here, there] = side === 'exporters' ? ['exporter', 'receiver'] : ['receiver', 'exporter'];
    context.sink.error(side === 'exporters' ? 'E_CONN_EXPORTER' : 'E_CONN_RECEIVER', {
      path: first.reference.path,
      offset: first.reference.offset,
      message: `connector ${quoted(use.id)} used as ${here} in [${names.join(' ')}] pipeline but not used in any supported ${there} pipeline`,
      suggestion: partnerHint(use.type, side, signal, context),
    });
  }
}

const MAX_NAMED_PIPELINES = 10;

/** Names the signals whose pipelines may hold the other end. */
function partnerHint(type: string, side: Side, signal: Signal, context: ValidationContext): string | undefined {
  const pairs = lookUp(context.signals.connectors, type) ?? [];
  const ends = pairs
    .map((pair) => pair.split('>'))
    .flatMap(([from, to]) => (side === 'exporters' ? (from === signal ? [to] : []) : to === signal ? [from] : []));
  if (pairs.length === 0) return undefined;
  if (ends.length === 0)
    return `a ${type} connector cannot be ${side === 'exporters' ? 'an exporter' : 'a receiver'} of a ${signal} pipeline`;
  return `name it among the ${side === 'exporters' ? 'receivers' : 'exporters'} of a ${ends.join(' or ')} pipeline`;
}

/** Connectors whose end on one side may be in a part that is not in this text or could not be read. */
interface HiddenEnds {
  readonly any: boolean;
  readonly ids: ReadonlySet<string>;
}

function hiddenEnds(model: ConfigModel, side: Side, context: ValidationContext): HiddenEnds {
  const { service, sections } = model;
  let any = context.policy.allowFragments === true || service.open || service.broken || sections.connectors.state === 'unknown';
  const ids = new Set<string>();
  for (const pipeline of service.pipelines) {
    context.sink.step();
    any ||= pipeline[side].open || pipeline[side].broken;
    if (pipeline.signal !== null) continue;
    for (const reference of pipeline[side].references) ids.add(reference.id);
  }
  return { any, ids };
}

function checkCycles(uses: ReadonlyMap<string, ConnectorUse>, context: ValidationContext): void {
  const edges = new Map<string, string[]>();
  const places = new Map<string, ComponentReference>();
  const addEdge = (from: string, to: string): void => {
    context.sink.step();
    const list = edges.get(from);
    if (list === undefined) edges.set(from, [to]);
    else list.push(to);
  };
  for (const use of uses.values()) {
    for (const [from, sources] of use.exporters) {
      for (const [to, targets] of use.receivers) {
        if (connects(use.type, from, to, context) !== true) continue;
        const node = `connector ${quoted(use.id)} (${from} to ${to})`;
        for (const { pipeline, reference } of sources) {
          addEdge(`pipeline ${pipeline.id}`, node);
          if (!places.has(node)) places.set(node, reference);
        }
        for (const { pipeline } of targets) addEdge(node, `pipeline ${pipeline.id}`);
      }
    }
  }
  for (const cycle of findCycles(edges, () => context.sink.step())) {
    const connectors = cycle.filter((node) => places.has(node));
    const first = connectors[0];
    const place = first === undefined ? undefined : places.get(first);
    if (first === undefined || place === undefined) continue;
    const shown = connectors.length > MAX_NAMED_PIPELINES ? [...connectors.slice(0, MAX_NAMED_PIPELINES), '…'] : connectors;
    context.sink.error('E_CYCLE', {
      path: place.path,
      offset: place.offset,
      message: `cycle detected: ${[...shown, first].join(' -> ')}`,
    });
  }
}
