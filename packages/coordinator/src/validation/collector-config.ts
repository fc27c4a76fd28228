import { isBricking } from './bricking.ts';
import { checkBodies } from './component-bodies/catalogue.ts';
import { uniqueComponents } from './component-set.ts';
import type { ComponentType } from './component-set.ts';
import { openConfigText, withoutMark } from './config-loader.ts';
import type { LoadedConfig } from './config-loader.ts';
import type { ConfigModel } from './config-model.ts';
import { checkAmbiguousConnectors, checkConnectors } from './connector-rules.ts';
import { FindingSink, MAX_FINDINGS } from './finding.ts';
import type { Finding } from './finding.ts';
import { COMPONENT_KINDS } from './ids.ts';
import { lint } from './lints.ts';
import { inMergeOrder, mergeTrees, shiftTree } from './merge-trees.ts';
import { checkSectionsPresent, checkTopKeys, readSections } from './section-rules.ts';
import { readService } from './service-rules.ts';
import { checkSignals } from './signal-rules.ts';
import { DEFAULT_SIGNALS } from './signals-table.ts';
import type { SignalsTable } from './signals-table.ts';
import { checkSubstitutions, USUAL_SCHEMES } from './substitution.ts';
import { Suggester } from './suggest.ts';
import { checkTelemetry } from './telemetry-rules.ts';
import { checkTypes } from './type-rules.ts';
import { warnUnused } from './usage-rules.ts';
import type { ReportedComponents, ValidationContext, ValidationPolicy } from './validation-context.ts';

/** What is known about the agents and allowed by the caller; all of it may be left out. */
export interface ValidationOptions {
  /** The types of the build that will run the config; without them no type is unknown. */
  readonly components?: ReportedComponents;
  /** Replaces the built-in table of signals. */
  readonly signals?: SignalsTable;
  readonly policy?: ValidationPolicy;
}

/** The result of a validation. */
export interface ValidationReport {
  /** By line, column and code; at most MAX_FINDINGS. */
  readonly findings: readonly Finding[];
  /** True when there is no error; warnings do not count. */
  readonly ok: boolean;
  /** True when the text must not be sent to any agent, not even by force: see findBrickingDefects. */
  readonly bricks: boolean;
  /** Findings left out of `findings`. */
  readonly omitted: number;
  /** Paths of components whose settings nobody checked (`receivers::kafka`). */
  readonly unchecked: readonly string[];
  /** Component types that the config defines, for comparing with what builds have. */
  readonly components: readonly ComponentType[];
  /** Work done; grows linearly with the text. */
  readonly steps: number;
}

/**
 * Checks a collector configuration as far as that is possible without the collector: YAML, structure, ids, references,
 * connectors, signals, substitutions, the settings of common components, and advice. Pure, never throws for any text, reads
 * at most MAX_CONFIG_BYTES. The text is judged only; send the original bytes, never a re-serialised form.
 */
export function validateCollectorConfig(text: string, options: ValidationOptions = {}): ValidationReport {
  const { sink, loaded } = openConfigText(text);
  const bricks = isBricking(loaded, sink.hasErrors);
  const outcome = loaded === null ? { unchecked: [], components: [] } : checkLoaded(loaded, createContext(sink, options));
  const findings = sink.sorted();
  return { findings, ok: !sink.hasErrors, bricks, omitted: sink.omitted, ...outcome, steps: sink.steps };
}

/** A part of a config as it was read; `base` is its place among the texts of all parts. */
interface Part {
  readonly name: string;
  readonly base: number;
  readonly firstLine: number;
  readonly loaded: LoadedConfig | null;
  readonly findings: readonly Finding[];
  readonly steps: number;
}

/**
 * Checks a config of several files as the agent gets it: each file on its own for what keeps it from being read or merged, then
 * what comes out when they are merged (see {@link inMergeOrder}). Paths of findings begin with `<file>#`. One file is checked
 * as {@link validateCollectorConfig} does.
 */
export function validateConfigFiles(files: Readonly<Record<string, string>>, options: ValidationOptions = {}): ValidationReport {
  const names = inMergeOrder(Object.keys(files));
  const [first = ''] = names;
  if (names.length <= 1) return validateCollectorConfig(files[first] ?? '', options);
  const parts = readParts(names, files);
  const broken = parts.some((part) => part.loaded === null || !part.loaded.readable);
  const own = parts.flatMap((part) => part.findings.map((finding) => ({ ...finding, path: `${part.name}#${finding.path}` })));
  const bricks = parts.some((part) => isBricking(part.loaded, part.findings.some(isError)));
  const steps = parts.reduce((sum, part) => sum + part.steps, 0);
  if (broken) return { findings: limited(own), ok: !own.some(isError), bricks, omitted: 0, unchecked: [], components: [], steps };

  const sink = new FindingSink(names.map((name) => withoutMark(files[name] ?? '')).join('\n'));
  const step = (count: number): void => sink.step(count);
  const trees = parts.flatMap(({ loaded, base }) => (loaded === null ? [] : [shiftTree(loaded.root, base, step)]));
  const merged: LoadedConfig = { root: mergeTrees(trees, step), foreignTopKeys: new Set(), readable: true };
  const outcome = checkLoaded(merged, createContext(sink, options));
  const found = sink.sorted().map((finding) => placeOf(finding, parts));
  const findings = limited([...own, ...found]);
  return {
    findings,
    ok: !sink.hasErrors && !own.some(isError),
    bricks,
    omitted: sink.omitted + own.length + found.length - findings.length,
    ...outcome,
    steps: steps + sink.steps,
  };
}

function isError(finding: Finding): boolean {
  return finding.severity === 'error';
}

function limited(findings: readonly Finding[]): Finding[] {
  if (findings.length <= MAX_FINDINGS) return [...findings];
  return findings.toSorted((a, b) => Number(isError(b)) - Number(isError(a))).slice(0, MAX_FINDINGS);
}

function readParts(names: readonly string[], files: Readonly<Record<string, string>>): Part[] {
  let base = 0;
  let firstLine = 0;
  return names.map((name) => {
    const text = withoutMark(files[name] ?? '');
    const { sink, loaded } = openConfigText(text);
    const part = { name, base, firstLine, loaded, findings: sink.sorted(), steps: sink.steps };
    base += text.length + 1;
    firstLine += text.split('\n').length;
    return part;
  });
}

/** Turns a place among the texts of all parts into one in its own part. */
function placeOf(finding: Finding, parts: readonly Part[]): Finding {
  const { line } = finding;
  if (line === null) return finding;
  const part = parts.findLast((candidate) => candidate.firstLine < line);
  return part === undefined ? finding : { ...finding, path: `${part.name}#${finding.path}`, line: line - part.firstLine };
}

function createContext(sink: FindingSink, options: ValidationOptions): ValidationContext {
  const { components } = options;
  return {
    sink,
    suggester: new Suggester(sink),
    policy: options.policy ?? {},
    signals: options.signals ?? DEFAULT_SIGNALS,
    components:
      components === undefined
        ? null
        : {
            receivers: new Set(components.receivers),
            processors: new Set(components.processors),
            exporters: new Set(components.exporters),
            connectors: new Set(components.connectors),
            extensions: new Set(components.extensions),
          },
  };
}

function checkLoaded(loaded: LoadedConfig, context: ValidationContext): Pick<ValidationReport, 'unchecked' | 'components'> {
  const { root, foreignTopKeys } = loaded;
  const { policy, sink } = context;
  checkTopKeys(root, foreignTopKeys, context);
  const sections = readSections(root, context);
  const defined = checkSectionsPresent(root, sections, context);
  const requirePipelines = defined && policy.allowNoPipelines !== true && policy.allowFragments !== true;
  const service = readService(root, sections, requirePipelines, context);
  const model: ConfigModel = { root, sections, service };
  checkTypes(sections, context);
  checkTelemetry(root, context);
  const ambiguous = checkAmbiguousConnectors(model, context);
  checkConnectors(model, ambiguous, context);
  checkSignals(model, context);
  checkSubstitutions(root, { schemes: policy.schemes ?? USUAL_SCHEMES, allowProviders: policy.allowProviders }, sink);
  const unchecked = checkBodies(sections, context);
  if (loaded.readable) {
    warnUnused(model, context);
    lint(model, context);
  }
  const types = COMPONENT_KINDS.flatMap((kind) => [...sections[kind].definitions.values()]);
  return { unchecked, components: uniqueComponents(types) };
}
