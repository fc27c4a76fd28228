-- Judges agents that cannot report what becomes of a config by the effective config that they tell, and by their health.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, rollout, health hold in ms, then per agent: uid, '1' if its effective config holds the version, else '0'
-- returns the number of agents judged
-- Holds it: verifying for the health hold, after which settle.lua judges; without a hold observed, if healthy. Otherwise it is left
-- until its acknowledgement timeout is over, and is then unverified if healthy, else degraded. A row that is not `offered` any more, or whose agent is away or can report by now, is left as it is.

local id = ARGV[2]
local hold = tonumber(ARGV[3])
local judged = 0

if redis.call('HEXISTS', rollout_key(id), 'ended') == 0 then
  for at = 4, #ARGV - 1, 2 do
    local uid, holds = ARGV[at], ARGV[at + 1] == '1'
    local rec = to_table(redis.call('HGETALL', agent_key(uid)))
    local text = rec['r:' .. id]
    local row = text and parse_row(text)
    if row and row.status == 'offered' and (rec.owner or '') ~= '' and is_observable(rec) then
      local healthy = rec.health ~= '0' or rec.unhealthyWhenOffered == '1'
      local status = nil
      if holds and hold > 0 then
        status = 'verifying'
      elseif holds and healthy then
        status = 'observed'
      elseif now_ms >= row.offered_at + row.ack then
        status = healthy and 'unverified' or 'degraded'
      end
      if status then
        local new = parse_row(text)
        new.status = status
        if status == 'verifying' then new.deadline = now_ms + hold end
        put_row(uid, id, row, new, 1, 1)
        if status == 'degraded' then
          local reason = 'was unhealthy when its time ran out'
          book_failure(uid, id, rec, status, reason, reason)
        end
        note_change(uid)
        judged = judged + 1
      end
    end
  end
  write_sums()
end

return judged
