-- Judges the rows of one rollout that are past their deadline, then returns the shard's counters: reading is the timeout.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, rollout, judge ('1' | '0': within one lease time of an outage only good verdicts count), limit
-- returns {now ms, overdue rows left, flat counters, uids to be observed}
-- A connected agent that was offered the version, cannot report, and tells its effective config is handed out to whoever compares
-- (see observe.lua), and again after a while; with nobody comparing for three times its acknowledgement timeout it is unverified.
-- Not connected: lost (a restoring row is only listed, its agent repairs itself when it returns). Connected: offered ->
-- timedOut; applying -> unverified if healthy, else degraded; verifying -> applied (observed where the agent cannot report) if healthy, else degraded (failed when
-- it was a soft failure); restoring -> restored if it reports what was last sent to it as applied, else restoreFailed. Those judged badly are listed under the rollout's failures.

local id = ARGV[2]
local judge = ARGV[3] == '1'
local limit = tonumber(ARGV[4])
local key = rollout_key(id)
local open = key .. ':open'

local function verdict(row, rec)
  local connected = (rec.owner or '') ~= ''
  local healthy = rec.health ~= '0'
  local excused = healthy or rec.unhealthyWhenOffered == '1'
  if row.status == 'restoring' then
    if not connected then return nil end
    -- An agent that never took the other version reports an unchanged status, which clients do not send again.
    local runs = rec.reportedStatus == 'APPLIED' and rec.reportedHash == rec.offered
    return runs and 'restored' or 'restoreFailed'
  end
  if not connected then return 'lost' end
  if row.status == 'offered' then
    if is_observable(rec) and now_ms < row.offered_at + 3 * row.ack then return 'observe' end
    if not can_report(rec) then return excused and 'unverified' or 'degraded' end
    -- One that could not report when it was looked at, and can by now, has all its time.
    return now_ms < row.offered_at + row.ack and 'wait' or 'timedOut'
  end
  if row.status == 'applying' then return healthy and 'unverified' or 'degraded' end
  if excused then
    local said = can_report(rec) or (rec.reportedStatus == 'APPLIED' and rec.reportedHash == rec.offered)
    return said and 'applied' or 'observed'
  end
  return row.soft == '1' and 'failed' or 'degraded'
end

local left = 0
local observe = {}
if redis.call('HEXISTS', key, 'ended') == 0 then
  local overdue = redis.call('ZRANGEBYSCORE', open, '-inf', int(now_ms), 'LIMIT', 0, limit)
  for _, uid in ipairs(overdue) do
    local rec = to_table(redis.call('HGETALL', agent_key(uid)))
    local text = rec['r:' .. id]
    local row = text and parse_row(text)
    if not row or not UNSETTLED[row.status] then
      redis.call('ZREM', open, uid)
    else
      local status = verdict(row, rec)
      -- A good verdict needs no grace: the agent is here, has applied the config and is healthy.
      if not judge and status ~= 'applied' and status ~= 'observed' then status = false end
      if status == nil then
        redis.call('ZREM', open, uid)
      elseif status == 'observe' or status == 'wait' then
        local again = parse_row(text)
        again.deadline = status == 'wait' and row.offered_at + row.ack or now_ms + math.min(5000, math.ceil(row.ack / 10))
        put_row(uid, id, row, again, 1, 1)
        if status == 'observe' then observe[#observe + 1] = uid end
      elseif status then
        judge_row(uid, id, rec, status)
        if status == 'failed' and rec.offered and rec.offered ~= '' then
          local entry = rec.offered .. ':' .. id .. ':' .. int(row.attempt)
          local failed = rec.failed and rec.failed ~= '' and (rec.failed .. ',' .. entry) or entry
          redis.call('HSET', agent_key(uid), 'failed', failed)
        end
      end
    end
  end
  write_sums()
  if judge then left = redis.call('ZCOUNT', open, '-inf', int(now_ms)) end
end

return { int(now_ms), left, redis.call('HGETALL', key), observe }
