-- Changes what operators own of an agent's record (pin, labels) and notes the edit for its gateway.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, uid, keepMs, nSet, (field, value) x nSet, field to delete...
-- returns {'ok', owner} or {'unknown'}

local uid = ARGV[2]
local key = agent_key(uid)
if redis.call('EXISTS', key) == 0 then return { 'unknown' } end
local n_set = tonumber(ARGV[4])
if n_set > 0 then redis.call('HSET', key, unpack(ARGV, 5, 4 + 2 * n_set)) end
for i = 5 + 2 * n_set, #ARGV do redis.call('HDEL', key, ARGV[i]) end
redis.call('ZADD', prefix .. 'edited', int(now_ms), uid)
redis.call('ZREMRANGEBYSCORE', prefix .. 'edited', '-inf', '(' .. int(now_ms - tonumber(ARGV[3])))
return { 'ok', redis.call('HGET', key, 'owner') or '' }
