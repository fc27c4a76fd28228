import { collectorConfig } from '../../support/collector-config.ts';

/** The everyday config with other exporters beside the first: something to see in a diff. */
export function richerConfig(marker: string, batch: string): string {
  return collectorConfig(marker)
    .replace('timeout: 1s', `timeout: ${batch}`)
    .replace('    verbosity: basic', '    verbosity: detailed\n    sampling_initial: 5');
}
