-- Writes the changed state of agents, moves their rows and counters in the same step, and releases those that went away.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, gateway, then per agent:
--   uid, epoch, op ('write' | 'release'), group ('' = unchanged), takes ('0' | '1' | '' = unchanged),
--   facets (newline separated, '\0' = unchanged), effective ('' = unchanged, else bytes for effective:<uid>),
--   nSet, (field, value) x nSet, nDel, field x nDel,
--   nRows, (rollout, wave, status, attempt, deadlineInMs (-1 = keep), ackTimeoutMs, soft ('0'|'1'), error,
--   error without what differs from agent to agent) x nRows
-- returns per agent: {'ok', rollout, standing row text ('' = ended), ...} for every row written, or {'fenced', owner}
-- A write is taken iff its epoch is the stored one: a lower one has lost the agent, a higher one was given by a store that lost
-- the claim in a failover ({'fenced', ''}: claim again). Errors are kept as `status|text` for at most 1,000 agents per rollout
-- and shard, until the agent recovers; an agent that was taken back stays listed.

local gateway = ARGV[2]
local BAD = { failed = true, degraded = true, lost = true, timedOut = true, restoreFailed = true }
-- Fields of the record that a write depends on, beside its rows.
local READ = { 'epoch', 'owner', 'group', 'takes', 'facets', 'origin' }
local replies = {}
local at = 3

local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end

while at <= #ARGV do
  local uid, epoch, op, group, takes, facets, effective = take(), take(), take(), take(), take(), take(), take()
  local key = agent_key(uid)
  local n_set = tonumber(take())
  local set_from = at
  at = at + 2 * n_set
  local n_del = tonumber(take())
  local del_from = at
  at = at + n_del
  local n_rows = tonumber(take())
  local rows_from = at
  at = at + 9 * n_rows

  local names = { unpack(READ) }
  for i = rows_from, rows_from + 9 * n_rows - 1, 9 do names[#names + 1] = 'r:' .. ARGV[i] end
  local values = redis.call('HMGET', key, unpack(names))
  local rec = {}
  for i, name in ipairs(names) do if values[i] then rec[name] = values[i] end end
  if not rec.epoch or tonumber(epoch) < tonumber(rec.epoch) then
    replies[#replies + 1] = { 'fenced', rec.owner or '' }
  elseif tonumber(epoch) > tonumber(rec.epoch) then
    -- The claim was acknowledged by a primary and is missing here: the record does not say who holds the agent.
    replies[#replies + 1] = { 'fenced', '' }
  else
    local connected = (rec.owner or '') ~= '' and 1 or 0
    local reply = { 'ok' }

    local fields = { unpack(ARGV, set_from, set_from + 2 * n_set - 1) }
    for i = 1, #fields, 2 do rec[fields[i]] = fields[i + 1] end
    if effective ~= '' then redis.call('SET', prefix .. 'effective:' .. uid, effective) end

    local new_group = group ~= '' and group or rec.group
    local new_takes = takes ~= '' and takes or rec.takes or '0'
    if new_group ~= rec.group or new_takes ~= rec.takes then
      if new_group ~= rec.group then drop_member(uid, rec.group) end
      push_pair(fields, 'group', new_group or '-')
      push_pair(fields, 'takes', new_takes)
      if connected == 1 then put_member(uid, new_group or '-', rec.owner, rec.epoch, new_takes, rec.origin or uid) end
      rec.group = new_group
      rec.takes = new_takes
    end
    if facets ~= '\0' and facets ~= rec.facets then
      shift_facets(rec.facets, facets, connected, connected)
      push_pair(fields, 'facets', facets)
      rec.facets = facets
    end

    for i = rows_from, rows_from + 9 * n_rows - 1, 9 do
      local id, wave, status, attempt = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
      local deadline_in, ack, soft, err, message = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
      local text = rec['r:' .. id]
      local old = text and parse_row(text) or nil
      if has_ended(id, false) then
        redis.call('HDEL', key, 'r:' .. id)
        rec['r:' .. id] = nil
        push_pair(reply, id, '')
      else
        if not old or legal(old, status, attempt) then
          local row = {
            wave = old and old.wave or wave,
            status = status,
            attempt = attempt,
            deadline = old and old.deadline or 0,
            offered_at = old and old.offered_at or 0,
            ack = ack,
            soft = soft,
          }
          if deadline_in >= 0 then row.deadline = now_ms + deadline_in elseif not old then row.deadline = now_ms + ack end
          if status == 'offered' and (not old or old.status ~= 'offered' or old.attempt ~= attempt) then row.offered_at = now_ms end
          put_row(uid, id, old, row, connected, connected, fields)
          -- A soft failure is none yet.
          if err ~= '' and (BAD[status] or status == 'skipped') then
            local told = redis.call('HMGET', key, 'attributes', 'labels')
            rec.attributes, rec.labels = rec.attributes or told[1] or nil, rec.labels or told[2] or nil
            book_failure(uid, id, rec, status, err, message)
          elseif old and RECOVERED[status] and (BAD[old.status] or old.status == 'skipped' or attempt > 1) then
            forget_failure(uid, id)
          end
          rec['r:' .. id] = format_row(row)
        end
        push_pair(reply, id, rec['r:' .. id])
      end
    end

    if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
    if n_del > 0 then redis.call('HDEL', key, unpack(ARGV, del_from, del_from + n_del - 1)) end
    note_change(uid)
    if op == 'release' and connected == 1 and rec.epoch == epoch then
      release_agent(uid, to_table(redis.call('HGETALL', key)))
    end
    replies[#replies + 1] = reply
  end
end

write_sums()
return replies
