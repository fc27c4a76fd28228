import { isIP } from 'node:net';
import type { BlockList } from 'node:net';
import { parseNetworks } from '@opamp-gateway/shared/networks';

export interface PeerOptions {
  /** Networks (CIDR) of the proxies whose word counts. */
  trustedProxies: readonly string[];
  /** Header with the chain of addresses, '' = not read. */
  forwardedForHeader: string;
  /** Header with the client certificate, '' = not read. */
  clientCertHeader: string;
  /** Header that must say SUCCESS for the certificate to count, '' = none. */
  clientVerifyHeader: string;
  /** Whether the PROXY protocol (version 2) says where a connection comes from. */
  proxyProtocol: boolean;
}

/** What the transport knows of a connection. */
export interface PeerFacts {
  remoteAddress: string;
  /** As the PROXY protocol states it, '' when it does not. */
  proxiedAddress: string;
  /** Certificate of the TLS connection as PEM, '' when there is none. */
  certificate: string;
  header(name: string): string;
}

/** Who is at the other end. */
export interface Peer {
  address: string;
  certificate: string;
  /** The certificate was handed on by a proxy. */
  forwarded: boolean;
  /** Something claimed to be a proxy and is none of ours; what it said was ignored. */
  untrusted: boolean;
}

/** Reads who is at the other end, believing trusted proxies and nobody else. */
export class PeerReader {
  readonly #options: PeerOptions;
  readonly #trusted: BlockList;
  readonly #active: boolean;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#trusted = parseNetworks(options.trustedProxies);
    this.#active = options.proxyProtocol || options.forwardedForHeader !== '' || options.clientCertHeader !== '';
  }

  read(facts: PeerFacts): Peer {
    const peer: Peer = { address: plainAddress(facts.remoteAddress), certificate: facts.certificate, forwarded: false, untrusted: false };
    if (!this.#active) return peer;
    const { forwardedForHeader, clientCertHeader, clientVerifyHeader, proxyProtocol } = this.#options;
    const proxied = proxyProtocol ? plainAddress(facts.proxiedAddress) : '';
    const chain = forwardedForHeader === '' ? '' : facts.header(forwardedForHeader);
    const certificate = clientCertHeader === '' ? '' : facts.header(clientCertHeader);
    if (!this.#isTrusted(peer.address)) return { ...peer, untrusted: proxied !== '' || chain !== '' || certificate !== '' };
    if (isIP(proxied) !== 0) peer.address = proxied;
    // From the right: each proxy appends who talked to it, so the first that is none of ours is the client.
    for (const hop of chain.split(',').toReversed()) {
      if (!this.#isTrusted(peer.address)) break;
      const address = plainAddress(hop.trim());
      if (isIP(address) === 0) break;
      peer.address = address;
    }
    if (certificate !== '' && (clientVerifyHeader === '' || facts.header(clientVerifyHeader) === 'SUCCESS')) {
      peer.certificate = readCertificateHeader(certificate);
      peer.forwarded = true;
    }
    return peer;
  }

  #isTrusted(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#trusted.check(address, family === 4 ? 'ipv4' : 'ipv6');
  }
}

/** An IPv4 address in IPv6 clothes as IPv4; brackets and a port are taken off. */
export function plainAddress(text: string): string {
  const bare = /^\[(.+)\](?::\d+)?$/.exec(text)?.[1] ?? (/^[\d.]+:\d+$/.test(text) ? text.slice(0, text.indexOf(':')) : text);
  const mapped = /^(?:0{1,4}:){5}ffff:([\da-f]{1,4}):([\da-f]{1,4})$/i.exec(bare) ?? /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/i.exec(bare);
  if (mapped === null) return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/**
 * A certificate as proxies write it into a header: percent-encoded PEM (nginx), `Cert="…"` of the last element of
 * X-Forwarded-Client-Cert (Envoy), or DER in base64 (HAProxy, Traefik). What cannot be read is returned as it is.
 */
export function readCertificateHeader(header: string): string {
  const fromEnvoy = header
    .split(',')
    .at(-1)
    ?.match(/(?:^|;)\s*Cert="?([^";]+)"?/i)?.[1];
  let text = fromEnvoy ?? header;
  if (text.includes('%')) {
    try {
      text = decodeURIComponent(text);
    } catch {
      return header;
    }
  }
  if (text.includes('-----BEGIN')) return text;
  const base64 = text.split(',', 1)[0]?.replaceAll(/[\s:]/g, '') ?? '';
  return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join('\n') ?? ''}\n-----END CERTIFICATE-----\n`;
}
