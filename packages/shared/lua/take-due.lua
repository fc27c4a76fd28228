-- Takes the rollouts that are due and pushes each a little ahead, so that one coordinator works on it and a dead one is replaced.
-- KEYS    1 rollouts:due
-- ARGV    1 pushMs, 2 limit
-- returns {now ms, id...}

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local text = string.format('%.0f', now)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])), id) end
table.insert(ids, 1, text)
return ids
