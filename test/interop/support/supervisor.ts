import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { InteropBinaries } from '../build.ts';
import { Child } from './child.ts';
import type { ChildExit } from './child.ts';

/** What differs from one supervisor of the suite to the next. */
export interface SupervisorOptions {
  readonly endpoint: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether it lists the components of its collector. Default true. */
  readonly listsComponents?: boolean;
  /** Whether it reports what becomes of a remote config; from 0.161 on it always does. Default true. */
  readonly reportsRemoteConfig?: boolean;
  /** Lines below `agent:` in the supervisor's configuration, such as `validate_config: true`. */
  readonly agentLines?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
  /** A folder of an earlier supervisor, to come back with what that one left. */
  readonly stateDir?: string;
  /** How long a new config may take to get healthy, in seconds; the supervisor's own default is 5. */
  readonly configApplyTimeoutS?: number;
}

/** What `supervisorYaml` turns on: status, remote config and its status, effective config, restart, health, heartbeat, components. */
export const SUPERVISOR_CAPABILITIES = 0x7c07n;

/** A real supervisor with a real collector under it. */
export class Supervisor {
  readonly stateDir: string;
  readonly #child: Child;

  private constructor(stateDir: string, child: Child) {
    this.stateDir = stateDir;
    this.#child = child;
  }

  /** Starts the program; returns at once, long before it connects. */
  static async launch(binaries: InteropBinaries, options: SupervisorOptions): Promise<Supervisor> {
    const stateDir = options.stateDir ?? (await mkdtemp(path.join(tmpdir(), 'opamp-supervisor-')));
    await mkdir(path.join(stateDir, 'storage'), { recursive: true });
    const file = path.join(stateDir, 'supervisor.yaml');
    await writeFile(file, supervisorYaml(binaries, stateDir, options));
    return new Supervisor(stateDir, new Child(binaries.supervisor, ['--config', file], { cwd: stateDir }));
  }

  get ended(): ChildExit | undefined {
    return this.#child.ended;
  }

  get exited(): Promise<ChildExit> {
    return this.#child.exited;
  }

  /** Output of the supervisor and of the collector under it. */
  get lines(): readonly string[] {
    return this.#child.lines;
  }

  tail(count?: number): string {
    return this.#child.tail(count);
  }

  /** A file of the supervisor's storage folder, or undefined when there is none. */
  async stored(name: string): Promise<string | undefined> {
    try {
      return await readFile(path.join(this.stateDir, 'storage', name), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** SIGINT, the only signal on which a supervisor stops its collector and says goodbye; SIGTERM ends it on the spot. */
  async stop(): Promise<ChildExit> {
    return this.#child.stop('SIGINT', 60_000);
  }

  /** SIGKILL. The collector notices by its orphan detection and ends by itself a second later. */
  async kill(): Promise<void> {
    this.#child.signal('SIGKILL');
    await this.#child.exited;
  }

  /** Removes the folder. */
  async cleanUp(): Promise<void> {
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

function supervisorYaml(binaries: InteropBinaries, stateDir: string, options: SupervisorOptions): string {
  const quote = (text: string): string => JSON.stringify(text);
  const headers = Object.entries(options.headers ?? {}).map(([name, value]) => `    ${name}: ${quote(value)}`);
  const attributes = Object.entries(options.attributes ?? {}).map(([name, value]) => `      ${name}: ${quote(value)}`);
  return [
    'server:',
    `  endpoint: ${quote(options.endpoint)}`,
    ...(headers.length === 0 ? [] : ['  headers:', ...headers]),
    'capabilities:',
    '  accepts_remote_config: true',
    `  reports_remote_config: ${options.reportsRemoteConfig ?? true}`,
    '  accepts_restart_command: true',
    '  reports_effective_config: true',
    '  reports_health: true',
    '  reports_heartbeat: true',
    `  reports_available_components: ${options.listsComponents ?? true}`,
    '  reports_own_metrics: false',
    'agent:',
    `  executable: ${quote(binaries.collector)}`,
    `  config_apply_timeout: ${options.configApplyTimeoutS ?? 5}s`,
    '  bootstrap_timeout: 60s',
    '  orphan_detection_interval: 1s',
    '  passthrough_logs: true',
    // Its own metrics would listen on port 8888, also before there is a config, and taken it keeps the collector from starting.
    '  args: ["--set=service.telemetry.metrics.level=none"]',
    ...(options.agentLines ?? []).map((line) => `  ${line}`),
    ...(attributes.length === 0 ? [] : ['  description:', '    non_identifying_attributes:', ...attributes]),
    'storage:',
    `  directory: ${quote(path.join(stateDir, 'storage'))}`,
    'telemetry:',
    '  logs:',
    '    level: debug',
    '',
  ].join('\n');
}
