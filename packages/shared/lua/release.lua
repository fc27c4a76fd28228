-- Releases agents whose owner can no longer do it: those of a gateway whose lease has ended, or HTTP agents that fell silent.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, owner ('http' with no uid: the silent ones by `polls`, at most limit), limit, (uid, epoch)...
-- returns number of agents released. An agent that somebody else owns by now is left alone, and so is one that its owner has
-- claimed again: its epoch is a newer one.

local owner = ARGV[2]
local limit = tonumber(ARGV[3])
local uids = {}
local epochs = {}
if owner == 'http' and #ARGV == 3 then
  uids = redis.call('ZRANGEBYSCORE', prefix .. 'polls', '-inf', int(now_ms), 'LIMIT', 0, limit)
else
  for i = 4, #ARGV, 2 do
    uids[#uids + 1] = ARGV[i]
    epochs[ARGV[i]] = ARGV[i + 1]
  end
end

local released = 0
for _, uid in ipairs(uids) do
  local rec = to_table(redis.call('HGETALL', agent_key(uid)))
  if rec.owner == owner and (epochs[uid] == nil or epochs[uid] == rec.epoch) then
    release_agent(uid, rec, owner ~= 'http')
    released = released + 1
  elseif owner == 'http' then
    redis.call('ZREM', prefix .. 'polls', uid)
  end
end
write_sums()
return released
