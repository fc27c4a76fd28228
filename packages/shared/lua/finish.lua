-- Closes a rollout in one shard: rows met later are dropped, and its keys expire.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, rollout, ttlSeconds (0: for ever)
-- returns flat counters

local key = rollout_key(ARGV[2])
local counters = redis.call('HGETALL', key)
redis.call('HSET', key, 'ended', '1')
if tonumber(ARGV[3]) > 0 then
  for _, suffix in ipairs({ '', ':open', ':failures', ':failing', ':failure-groups' }) do redis.call('EXPIRE', key .. suffix, ARGV[3]) end
end
return counters
