-- Renews (or takes) a gateway's lease and publishes what it has observed.
-- KEYS    1 gateways (zset id -> lease end), 2 the gateway's hash, 3 meta
-- ARGV    1 id, 2 leaseMs, then field, value...
-- returns {held ('1' when the former lease still ran), now ms, incarnation ('' when no coordinator has written one),
--         what it was told: drain ('' or window ms), shed ('' or 'id count windowMs')}

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = score and tonumber(score) > now and '1' or '0'
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
local told = redis.call('HMGET', KEYS[2], 'drain', 'shed')
return { held, string.format('%.0f', now), redis.call('HGET', KEYS[3], 'incarnation') or '', told[1] or '', told[2] or '' }
