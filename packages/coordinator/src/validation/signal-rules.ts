import type { ConfigModel } from './config-model.ts';
import { PIPELINE_ROLES } from './config-model.ts';
import { quoted } from './finding.ts';
import { KIND_SINGULAR } from './ids.ts';
import { lookUp } from './signals-table.ts';
import type { ValidationContext } from './validation-context.ts';

/** Components in pipelines whose signal they do not support (E_SIGNAL_UNSUPPORTED). Connectors have their own rules. */
export function checkSignals(model: ConfigModel, context: ValidationContext): void {
  for (const pipeline of model.service.pipelines) {
    const { signal } = pipeline;
    if (signal === null) continue;
    for (const role of PIPELINE_ROLES) {
      for (const reference of pipeline[role].references) {
        context.sink.step();
        const { id, type } = reference;
        if (!model.sections[role].definitions.has(id)) continue;
        if (role !== 'processors' && model.sections.connectors.definitions.has(id)) continue;
        const supported = lookUp(context.signals[role], type);
        if (supported === undefined || supported.includes(signal)) continue;
        const message =
          role === 'processors'
            ? `failed to create ${quoted(id)} processor, in pipeline ${quoted(pipeline.id)}: telemetry type is not supported`
            : `failed to create ${quoted(id)} ${KIND_SINGULAR[role]} for data type "${signal}": telemetry type is not supported`;
        context.sink.error('E_SIGNAL_UNSUPPORTED', {
          path: reference.path,
          offset: reference.offset,
          message,
          suggestion: `a ${type} ${KIND_SINGULAR[role]} supports ${supported.join(', ')}`,
        });
      }
    }
  }
}
