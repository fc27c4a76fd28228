-- Moves messages from the outbox to those who are to be told, in one step: each is either in the outbox or in every delivery.
-- KEYS    1 outbox, 2 alerts, 3 alerts:dead, 4 alerts:targets
-- ARGV    1 tag prefix, 2 alerts kept, 3 most deliveries that wait for one target, 4 dead deliveries kept,
--         then per message: stream id, nTargets, target x nTargets
-- returns {messages moved, deliveries that were given up because too many wait, dead deliveries dropped}
-- A delivery is the field `t:<target>` of `alert:<id>`: `state|attempts|last attempt ms|next attempt ms|error`. Ids of alerts are
-- those of their messages. Alerts beyond the limit go, oldest first, unless a delivery of theirs waits or is dead.

local prefix, keep, most_waiting, most_dead = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local moved, given_up, dropped = 0, 0, 0
local at = 5

while at <= #ARGV do
  local id, n = ARGV[at], tonumber(ARGV[at + 1])
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    local key = prefix .. 'alert:' .. id
    redis.call('HSET', key, 'message', entry[2][2])
    redis.call('ZADD', KEYS[2], string.match(id, '^%d+'), id)
    for i = at + 2, at + 1 + n do
      local target = ARGV[i]
      local due = prefix .. 'alerts:due:' .. target
      redis.call('SADD', KEYS[4], target)
      if redis.call('ZCARD', due) >= most_waiting then
        redis.call('HSET', key, 't:' .. target, 'dead|0|0|0|too many alerts wait for this target')
        redis.call('ZADD', KEYS[3], now_ms, id .. ' ' .. target)
        given_up = given_up + 1
      else
        redis.call('HSET', key, 't:' .. target, 'pending|0|0|' .. now_ms .. '|')
        redis.call('ZADD', due, now_ms, id)
      end
    end
    redis.call('XDEL', KEYS[1], id)
    moved = moved + 1
  end
  at = at + 2 + n
end

local excess = redis.call('ZCARD', KEYS[3]) - most_dead
if excess > 0 then
  for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, excess - 1)) do
    local id, target = string.match(member, '^(%S+) (.+)$')
    redis.call('HDEL', prefix .. 'alert:' .. id, 't:' .. target)
    redis.call('ZREM', KEYS[3], member)
    dropped = dropped + 1
  end
end

excess = redis.call('ZCARD', KEYS[2]) - keep
if excess > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, 499)) do
    if excess <= 0 then break end
    local key = prefix .. 'alert:' .. id
    local open = false
    for _, value in ipairs(redis.call('HVALS', key)) do
      if string.find(value, '^pending|') or string.find(value, '^dead|') then open = true end
    end
    if not open then
      redis.call('DEL', key)
      redis.call('ZREM', KEYS[2], id)
      excess = excess - 1
    end
  end
end
return { moved, given_up, dropped }
