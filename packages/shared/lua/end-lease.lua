-- Removes a gateway: by itself when it stops, or by a coordinator once its lease has ended and its agents are released.
-- KEYS    1 gateways, 2 the gateway's hash
-- ARGV    1 id, 2 only when expired ('1' | '0')
-- returns 1 when it was removed, 0 when its lease runs again

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] == '1' then
  local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if score and tonumber(score) > now then return 0 end
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
