// The nouns of certificates: what can be wrong with a server's, what an emulated leaf must look like, what is believed and shown.

import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';
export type LeafKeyType = 'rsa' | 'ec';
/** What can be wrong with an upstream certificate (CONTRACT "certificate"). */
export const certificateProblems = [
  'expired', 'not-yet-valid', 'self-signed', 'untrusted', 'incomplete', 'name', 'revoked', 'revocation-unknown', 'weak', 'invalid',
] as const;
export type CertificateProblem = (typeof certificateProblems)[number];

/** Whether servers' certificates are looked up as revoked: not at all; a revoked one is a problem; one of unknown state is one too. */
export const revocationModes = ['off', 'soft', 'hard'] as const;
export type RevocationMode = (typeof revocationModes)[number];

/** What the emulated leaf must look like. */
export interface LeafRequest {
  /** The server's certificate (DER), or null when there is none to follow (block pages): then only `host` is named. */
  readonly upstreamDer: Buffer | null;
  /** SHA-256 of it, hex: the identity's cache key. Null as above. */
  readonly upstreamFingerprint: string | null;
  /** The name asked for (SNI or CONNECT host), already checked as a host name; null when unknown. */
  readonly host: string | null;
  /** The original destination's address, named only when there is neither certificate nor host. */
  readonly ip: string | null;
  readonly key: LeafKeyType;
  /** `untrusted`: signed by the issuer no client trusts, with the defect mirrored. */
  readonly trust: 'trusted' | 'untrusted';
  /** Issuer (keyring) name, null for the default. */
  readonly issuer: string | null;
}

/** An emulated identity, ready to serve. The same object as long as it is cached. */
export interface Leaf {
  readonly serial: string;
  readonly key: LeafKeyType;
  readonly mirrored: boolean;
  /** Leaf and chain, PEM. */
  readonly certPem: string;
  readonly keyPem: string;
  /** 48 octets for TLS tickets, equal in all workers. */
  readonly ticketKeys: Buffer;
  /** A current OCSP response to staple, or null when stapling is off. */
  staple(): Promise<Buffer> | Buffer | null;
}

/** An answer of the revocation endpoints (CRL, OCSP, CA certificate), independent of who asked. */
export interface RevocationAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface Revocation {
  /** Whether a plain-http request with this Host (as sent, port included) is for us. Cheap: asked for every plain request. */
  isHost(host: string): boolean;
  /** Ports of the distribution points: on others nobody asks for them. Absent: on none. */
  readonly ports?: ReadonlySet<number>;
  answer(method: string, path: string, body: Buffer | null): RevocationAnswer;
}

/** A client certificate of the gateway itself, PEM, and the servers (host patterns) that may see it. */
export interface ClientCertificate {
  readonly hosts: readonly string[];
  /** The certificate and those above it. */
  readonly certPem: string;
  readonly keyPem: string;
}

/** The way to what certificates point at: issuers, CRLs and OCSP responders. */
export interface FetchWay {
  /** All addresses of a name; rejects when there is none. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** An HTTP proxy that is asked in its stead; it resolves names. */
  readonly httpProxy: { readonly origin: string; readonly authorization: string | null } | null;
  /** Opens connections through a proxy of another kind, which resolves names. */
  readonly open: ((host: string, port: number) => Promise<Socket>) | null;
}

/** What the gateway believes about servers and shows them; one object per config, shared by all flows. */
export interface UpstreamTrust {
  readonly minVersion: TlsVersion;
  /** The roots in force: system store and own ones, without our own issuers. */
  readonly roots: readonly X509Certificate[];
  /** Our own issuers: what they signed is never believed from a server. */
  readonly own?: readonly X509Certificate[];
  readonly clientCerts?: readonly ClientCertificate[];
  /** Where no rule says otherwise. Absent: off. */
  readonly revocation?: RevocationMode;
  /** Lets issuers, CRLs and OCSP answers be fetched from this machine's own addresses. */
  readonly allowLocal?: boolean;
  /** Absent: straight there, names resolved by the system. */
  readonly way?: FetchWay;
}
