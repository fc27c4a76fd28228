import type { Check, Section } from './check.ts';
import { a1Endpoint } from './sections/a1-endpoint.ts';
import { a10Packages } from './sections/a10-packages.ts';
import { a11Custom } from './sections/a11-custom.ts';
import { a12Commands } from './sections/a12-commands.ts';
import { a13Identity } from './sections/a13-identity.ts';
import { a14Connections } from './sections/a14-connections.ts';
import { a15Distributed } from './sections/a15-distributed.ts';
import { a16Security } from './sections/a16-security.ts';
import { a2WebSocket } from './sections/a2-websocket.ts';
import { a3Http } from './sections/a3-http.ts';
import { a4Answers } from './sections/a4-answers.ts';
import { a5Capabilities } from './sections/a5-capabilities.ts';
import { a6State } from './sections/a6-state.ts';
import { a7RemoteConfig } from './sections/a7-remote-config.ts';
import { a8ConnectionSettings } from './sections/a8-connection-settings.ts';
import { a9Csr } from './sections/a9-csr.ts';

/** All sections in order. */
export const REGISTRY: readonly Section[] = [
  a1Endpoint,
  a2WebSocket,
  a3Http,
  a4Answers,
  a5Capabilities,
  a6State,
  a7RemoteConfig,
  a8ConnectionSettings,
  a9Csr,
  a10Packages,
  a11Custom,
  a12Commands,
  a13Identity,
  a14Connections,
  a15Distributed,
  a16Security,
];

/** All checks of a registry in the order of their sections. */
export const allChecks = (registry: readonly Section[] = REGISTRY): Check[] => registry.flatMap((section) => [...section.checks]);
