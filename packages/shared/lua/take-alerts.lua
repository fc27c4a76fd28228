-- Takes or renews the lease under which one coordinator delivers alerts, and hands it the deliveries that are due.
-- KEYS    1 alerts:lease
-- ARGV    1 tag prefix, 2 coordinator, 3 lease ms ('0' gives it back), then per target: name, most deliveries, ms until one that
--         was taken and not settled is due again (its coordinator died)
-- returns {holder ('' = nobody), id, target, attempts so far, message, ...}

local prefix, me, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= me then return { holder } end
if lease_ms == 0 then
  redis.call('DEL', KEYS[1])
  return { '' }
end
redis.call('SET', KEYS[1], me, 'PX', lease_ms)

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = { me }
for at = 4, #ARGV, 3 do
  local target, limit, hidden_ms = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local due = prefix .. 'alerts:due:' .. target
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, limit)) do
    local key = prefix .. 'alert:' .. id
    local state, attempts = string.match(redis.call('HGET', key, 't:' .. target) or '', '^([^|]*)|(%d+)|')
    if state == 'pending' then
      redis.call('ZADD', due, string.format('%.0f', now_ms + hidden_ms), id)
      for _, value in ipairs({ id, target, attempts, redis.call('HGET', key, 'message') }) do taken[#taken + 1] = value end
    else
      redis.call('ZREM', due, id)
    end
  end
end
return taken
