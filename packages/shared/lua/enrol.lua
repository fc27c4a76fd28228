-- Exchanges an enrolment token for an agent token: counts the use and stores the new token in one step.
-- KEYS    1 tokens, 2 tokens:ids, 3 tokens:uses, 4 tokens:used, 5 tokens:changes
-- ARGV    1 id of the enrolment token, 2 text it must have, 3 most uses, 4 its end in ms ('' = none), 5 id of the new token, 6 its text,
--         7 channel
-- returns 'ok' | 'changed' (read it again) | 'expired' | 'spent'

local t = redis.call('TIME')
local now_ms = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 'changed' end
if ARGV[4] ~= '' and now_ms >= tonumber(ARGV[4]) then return 'expired' end
if (tonumber(redis.call('HGET', KEYS[3], ARGV[1])) or 0) >= tonumber(ARGV[3]) then return 'spent' end
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f', now_ms))
redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
redis.call('ZADD', KEYS[2], 0, ARGV[5])
local last = redis.call('ZRANGE', KEYS[5], -1, -1, 'WITHSCORES')
local revision = string.format('%.0f', math.max(t[1] * 1000000 + t[2], (tonumber(last[2]) or 0) + 1))
redis.call('ZADD', KEYS[5], revision, ARGV[5])
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -10001)
redis.call('PUBLISH', ARGV[7], revision)
return 'ok'
