-- Tells a gateway what to do with its connections; it reads that with its next renewal.
-- KEYS    1 gateways, 2 the gateway's hash
-- ARGV    1 id, 2 field ('drain' | 'shed'), 3 value ('' takes it back)
-- returns 1 when it was written, 0 when the gateway has no running lease

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) <= now then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
