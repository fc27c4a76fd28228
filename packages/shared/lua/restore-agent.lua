-- Puts what a backup says of an agent back.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, uid, nSet, (field, value) x nSet, nRows, (rollout, row text) x nRows
-- returns 'created' or 'edited'
-- A new record belongs to nobody and is in no group until its agent connects. One that is here already gets its pin, its labels and
-- what it lacks. Rows are counted where the agent is now, and open ones get three times their ackTimeout: it may have to find its way back.

local uid = ARGV[2]
local key = agent_key(uid)
local n_set = tonumber(ARGV[3])
local rows_at = 4 + 2 * n_set
local is_new = redis.call('EXISTS', key) == 0

if is_new then
  redis.call('HSET', key, 'owner', '', 'epoch', '0', 'origin', uid, 'createdAt', int(now_ms), 'lastSeen', int(now_ms), 'group', '-', 'takes', '0')
  redis.call('ZADD', prefix .. 'uids', 0, uid)
  note_change(uid)
else
  redis.call('ZADD', prefix .. 'edited', int(now_ms), uid)
end
for i = 4, rows_at - 1, 2 do
  local field = ARGV[i]
  local known = redis.call('HGET', key, field) or ''
  if is_new or known == '' or field == 'pin' or field == 'labels' then redis.call('HSET', key, field, ARGV[i + 1]) end
end

local column = (redis.call('HGET', key, 'owner') or '') ~= '' and 1 or 0
for i = rows_at + 1, rows_at + 2 * tonumber(ARGV[rows_at]), 2 do
  local row = parse_row(ARGV[i + 1])
  if row and redis.call('HEXISTS', key, 'r:' .. ARGV[i]) == 0 then
    row.offered_at = now_ms
    row.deadline = now_ms + 3 * row.ack
    put_row(uid, ARGV[i], nil, row, column, column)
  end
end
write_sums()
return is_new and 'created' or 'edited'
