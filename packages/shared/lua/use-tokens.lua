-- Notes when credentials were last presented; those that are no longer stored are left out.
-- KEYS    1 tokens, 2 tokens:used
-- ARGV    id...

local t = redis.call('TIME')
local now_ms = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], id) == 1 then redis.call('HSET', KEYS[2], id, now_ms) end
end
return 'ok'
