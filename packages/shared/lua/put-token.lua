-- Stores a credential of agents if it still says what the caller has read, and tells the gateways to look.
-- KEYS    1 tokens, 2 tokens:ids, 3 tokens:changes
-- ARGV    1 id, 2 text it must have ('' = absent), 3 new text ('' = remove), 4 channel
-- returns 1 when it was stored, 0 when somebody else was first

local id, expected, text = ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', KEYS[1], id) or '') ~= expected then return 0 end
if text == '' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
else
  redis.call('HSET', KEYS[1], id, text)
  redis.call('ZADD', KEYS[2], 0, id)
end
-- Revisions come from the clock, so that a store which went back in time does not use one twice.
local t = redis.call('TIME')
local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
local revision = string.format('%.0f', math.max(t[1] * 1000000 + t[2], (tonumber(last[2]) or 0) + 1))
redis.call('ZADD', KEYS[3], revision, id)
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -10001)
redis.call('PUBLISH', ARGV[4], revision)
return 1
