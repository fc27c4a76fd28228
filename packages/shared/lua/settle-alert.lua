-- Notes what became of one attempt to deliver an alert.
-- KEYS    1 alerts:dead
-- ARGV    1 tag prefix, 2 id, 3 target, 4 outcome ('delivered' | 'retry' | 'dead'), 5 attempts, 6 ms until the next one, 7 error
-- returns 1 when it was noted, 0 when the delivery is settled or gone already

local key, field = ARGV[1] .. 'alert:' .. ARGV[2], 't:' .. ARGV[3]
local due = ARGV[1] .. 'alerts:due:' .. ARGV[3]
local member = ARGV[2] .. ' ' .. ARGV[3]
local outcome, attempts, err = ARGV[4], ARGV[5], ARGV[7]
local state = string.match(redis.call('HGET', key, field) or '', '^([^|]*)|')
-- What was delivered stays so, whoever else has tried and failed meanwhile.
if not state or state == 'delivered' or (state ~= 'pending' and outcome ~= 'delivered') then return 0 end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = string.format('%.0f', now)
local next_ms = string.format('%.0f', now + tonumber(ARGV[6]))
redis.call('ZREM', KEYS[1], member)
if outcome == 'retry' then
  redis.call('HSET', key, field, 'pending|' .. attempts .. '|' .. now_ms .. '|' .. next_ms .. '|' .. err)
  redis.call('ZADD', due, next_ms, ARGV[2])
else
  redis.call('HSET', key, field, outcome .. '|' .. attempts .. '|' .. now_ms .. '|0|' .. err)
  redis.call('ZREM', due, ARGV[2])
  if outcome == 'dead' then redis.call('ZADD', KEYS[1], now_ms, member) end
end
return 1
