/** What a stack needs of the Redis it runs on, whatever its shape. */
export interface RedisStore {
  /** Value of `OPAMP_REDIS_URL`. */
  readonly url: string;
  /** Further settings that processes of a kind need to reach it: certificates, a URL with a user of its own. */
  readonly envOf?: (kind: 'gateway' | 'coordinator') => Readonly<Record<string, string>>;
  /** Ends all of its servers; false when one had to be forced. */
  stop(): Promise<boolean>;
}
