-- Closes a rollout in one shard: rows met later are dropped, and the three keys expire.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, rollout, ttlSeconds
-- returns flat counters

local key = rollout_key(ARGV[2])
local counters = redis.call('HGETALL', key)
redis.call('HSET', key, 'ended', '1')
redis.call('EXPIRE', key, ARGV[3])
redis.call('EXPIRE', key .. ':open', ARGV[3])
redis.call('EXPIRE', key .. ':failures', ARGV[3])
return counters
