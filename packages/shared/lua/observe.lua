-- Judges agents that cannot report what becomes of a config by the effective config that they tell, and by their health.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, rollout, hash of its version, health hold in ms, then per agent: uid, '1' if its effective config holds the
--         version, else '0', when it told it in ms (its gateway's clock)
-- returns the number of agents judged
-- Holds it: verifying for the health hold, after which settle.lua judges; without a hold observed, if healthy. One that was told before
-- the offer counts only when the acknowledgement timeout is over: the agent may have another to tell. Otherwise it is left until then,
-- and is then unverified if healthy, else degraded. A row that is not `offered` any more, or whose agent is away, can report by now, or
-- was not sent the version, is left as it is.

local id = ARGV[2]
local hash = ARGV[3]
local hold = tonumber(ARGV[4])
-- Clocks differ, and the time is one of whole seconds.
local TOLERANCE_MS = 5000
local judged = 0

local function is_sent(rec)
  local known = rec.offered or ''
  if known == '' then known = rec.reportedHash or '' end
  return known == hash
end

if redis.call('HEXISTS', rollout_key(id), 'ended') == 0 then
  for at = 5, #ARGV - 2, 3 do
    local uid, holds, told_at = ARGV[at], ARGV[at + 1] == '1', tonumber(ARGV[at + 2])
    local rec = to_table(redis.call('HGETALL', agent_key(uid)))
    local text = rec['r:' .. id]
    local row = text and parse_row(text)
    if row and row.status == 'offered' and (rec.owner or '') ~= '' and is_observable(rec) and is_sent(rec) then
      local healthy = rec.health ~= '0' or rec.unhealthyWhenOffered == '1'
      local over = now_ms >= row.offered_at + row.ack
      -- Who had the version already was sent nothing, and has nothing new to tell.
      local was_sent = string.sub(rec.offeredFor or '', 1, #id + 1) == id .. ':'
      local told = holds and (over or not was_sent or told_at + TOLERANCE_MS >= row.offered_at)
      local status = nil
      if told and hold > 0 then
        status = 'verifying'
      elseif told and healthy then
        status = 'observed'
      elseif over then
        status = healthy and 'unverified' or 'degraded'
      end
      if status == 'verifying' then
        local held = parse_row(text)
        held.status, held.deadline = status, now_ms + hold
        put_row(uid, id, row, held, 1, 1)
      elseif status then
        judge_row(uid, id, rec, status)
      end
      if status then
        note_change(uid)
        judged = judged + 1
      end
    end
  end
  write_sums()
end

return judged
