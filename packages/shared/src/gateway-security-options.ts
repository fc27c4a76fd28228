import { booleanOption, integerOption, listOption, textOption } from './config-schema.ts';

const GATEWAY = ['gateway'] as const;

/** Settings of a gateway on TLS, proxies and single addresses. */
export const GATEWAY_SECURITY_OPTIONS = {
  OPAMP_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS: integerOption({
    default: 0,
    readBy: GATEWAY,
    sentence:
      'Connections and exchanges of one address at one time; the rest is answered 503; 0 is unlimited. Behind a proxy only with trusted forwarding.',
  }),
  OPAMP_GATEWAY_CONNECT_RATE_PER_ADDRESS: integerOption({
    default: 0,
    unit: 'per second',
    readBy: GATEWAY,
    sentence: 'New connections accepted from one address; the rest is answered 503; 0 is unlimited.',
  }),
  OPAMP_GATEWAY_TLS_CERT_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: GATEWAY,
    sentence:
      'Certificate chain (PEM) of the gateway: with it and its key agents connect with TLS, and only so. Read again when it changes.',
  }),
  OPAMP_GATEWAY_TLS_KEY_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: GATEWAY,
    sentence: 'Private key (PEM) of that certificate.',
  }),
  OPAMP_GATEWAY_TLS_CLIENT_CA_FILE: textOption({
    default: undefined,
    kind: 'file',
    readBy: GATEWAY,
    sentence: 'Authorities (PEM) that sign the client certificates of agents; also checks those that a proxy hands on.',
  }),
  OPAMP_GATEWAY_TRUSTED_PROXIES: listOption({
    default: [],
    readBy: GATEWAY,
    sentence: 'Networks (`10.0.0.0/8`) of the proxies whose word on an agent’s address and certificate counts.',
  }),
  OPAMP_GATEWAY_PROXY_PROTOCOL: booleanOption({
    default: false,
    readBy: GATEWAY,
    sentence: 'Whether trusted proxies state the agent’s address by the PROXY protocol, version 2.',
  }),
  OPAMP_GATEWAY_FORWARDED_FOR_HEADER: textOption({
    default: undefined,
    readBy: GATEWAY,
    sentence: 'Header in which trusted proxies state the agent’s address, `x-forwarded-for` for example.',
    check: headerProblem,
  }),
  OPAMP_GATEWAY_CLIENT_CERT_HEADER: textOption({
    default: undefined,
    readBy: GATEWAY,
    sentence: 'Header in which trusted proxies hand on the client certificate, `x-forwarded-client-cert` or `ssl-client-cert` for example.',
    check: headerProblem,
  }),
  OPAMP_GATEWAY_CLIENT_VERIFY_HEADER: textOption({
    default: undefined,
    readBy: GATEWAY,
    sentence: 'Header that must say `SUCCESS` for that certificate to count, `ssl-client-verify` for example.',
    check: headerProblem,
  }),
} as const;

function headerProblem(text: string): string | undefined {
  return /^[a-z0-9-]{1,64}$/.test(text) ? undefined : 'a header name in lower case';
}
