-- Notes that a coordinator reaches the store, and finds out whether for a while none did: then gateways may still have to
-- deliver what they could not write, and nobody is to be judged lost or timed out yet.
-- KEYS    1 meta
-- ARGV    1 gapMs: silence that counts as an outage, 2 graceMs: how long nothing is judged after one
-- returns {now ms, ms from which on rows may be judged}

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local last = tonumber(redis.call('HGET', KEYS[1], 'beat') or '') or 0
local from = tonumber(redis.call('HGET', KEYS[1], 'judgeFrom') or '') or 0
if now - last > tonumber(ARGV[1]) then
  from = now + tonumber(ARGV[2])
  redis.call('HSET', KEYS[1], 'judgeFrom', string.format('%.0f', from))
end
redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', now))
return { string.format('%.0f', now), string.format('%.0f', from) }
