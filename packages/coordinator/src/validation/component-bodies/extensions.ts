import type { ObjectSchema } from './schema.ts';
import { ANY, BOOL, DURATION, INT, mapOf, object, openObject, TEXT } from './schema.ts';
import { checkGrpcServer, checkServer, GRPC_SERVER, HTTP_SERVER } from './shared-schemas.ts';

const PATH_CONFIG = object('http.PathConfig', { enabled: BOOL, path: TEXT, include_attributes: BOOL });

const HEALTH_CHECK: ObjectSchema = object(
  'healthcheck.Config',
  {
    ...HTTP_SERVER,
    path: TEXT,
    response_body: object('http.ResponseBodyConfig', { healthy: TEXT, unhealthy: TEXT }),
    check_collector_pipeline: object('http.CheckCollectorPipelineConfig', {
      enabled: BOOL,
      interval: TEXT,
      exporter_failure_threshold: INT,
    }),
    use_v2: BOOL,
    grpc: object('grpc.Config', GRPC_SERVER, checkGrpcServer),
    http: object('http.Config', { ...HTTP_SERVER, config: PATH_CONFIG, status: PATH_CONFIG }, checkServer),
    component_health: object('common.ComponentHealthConfig', {
      include_permanent_errors: BOOL,
      include_recoverable_errors: BOOL,
      recovery_duration: DURATION,
    }),
  },
  (body) => {
    checkServer(body);
    const v2 = body.flag('use_v2', false);
    if (v2 === true) {
      if (!body.has('http') && !body.has('grpc')) body.fail('use_v2', 'must specify at least one protocol');
      return;
    }
    if (v2 === null) return;
    const path = body.text('path', '/');
    if (path !== null && !path.startsWith('/')) body.fail('path', 'path must start with /');
    if (body.text('endpoint', 'localhost') === '') body.fail('endpoint', 'http endpoint required');
  },
);

const ZPAGES: ObjectSchema = object(
  'zpagesextension.Config',
  { ...HTTP_SERVER, expvar: object('zpagesextension.ExpvarConfig', { enabled: BOOL }) },
  (body) => {
    checkServer(body);
    if (body.text('endpoint', 'localhost:55679') === '') body.fail('endpoint', '"endpoint" is required when using the "zpages" extension');
  },
);

const PPROF: ObjectSchema = openObject('pprofextension.Config', {
  endpoint: TEXT,
  dialer: ANY,
  block_profile_fraction: INT,
  mutex_profile_fraction: INT,
  save_to_file: TEXT,
});

const FILE_STORAGE: ObjectSchema = openObject('filestorage.Config', {
  directory: TEXT,
  timeout: DURATION,
  compaction: mapOf(ANY),
  fsync: BOOL,
  create_directory: BOOL,
  directory_permissions: TEXT,
  recreate: BOOL,
});

/** Extensions whose settings are checked. */
export const EXTENSION_SCHEMAS: Readonly<Record<string, ObjectSchema>> = {
  health_check: HEALTH_CHECK,
  zpages: ZPAGES,
  pprof: PPROF,
  file_storage: FILE_STORAGE,
};
