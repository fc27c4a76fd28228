-- Takes agents over for one gateway and returns their records.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, gateway, mode ('force' | 'polite' | 'again'), silenceMs ('' for a connection, else an HTTP poll), then per agent: uid, id of its
--         credential, realm of that ('' = not bound)
-- returns per uid: {'ok', epoch, formerOwner, flat record before the claim (empty when new)}
--                  {'owned', owner, epoch} in modes polite and again, when another gateway holds it (nothing is changed)
--                  {'foreign', token id} when the record is bound to another realm (nothing is changed)
--                  {'alias', uid} when the agent was re-identified and its new record must be claimed instead

local gateway = ARGV[2]
local polite = ARGV[3] ~= 'force'
-- By the connection that had it before: only the store had let go of the agent, its connection never broke.
local again = ARGV[3] == 'again'
local silence = ARGV[4]
local replies = {}
-- Time in which an agent that a gateway sent away is expected back.
local MOVED_MS = 600000

for i = 5, #ARGV, 3 do
  local uid, token, realm = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = agent_key(uid)
  local alias = redis.call('GET', prefix .. 'alias:' .. uid)
  local flat = redis.call('HGETALL', key)
  local rec = to_table(flat)
  local owner = rec.owner or ''
  if alias and #flat == 0 then
    replies[#replies + 1] = { 'alias', alias }
  elseif (rec.realm or '') ~= '' and rec.realm ~= realm and rec.token ~= token then
    replies[#replies + 1] = { 'foreign', rec.token or '' }
  elseif polite and owner ~= '' and owner ~= 'http' and owner ~= gateway then
    replies[#replies + 1] = { 'owned', owner, rec.epoch or '0' }
  else
    local epoch = int(math.max((tonumber(rec.epoch) or 0) + 1, now_us))
    local me = silence ~= '' and 'http' or gateway
    redis.call('HSET', key, 'owner', me, 'epoch', epoch)
    if #flat == 0 then
      -- In no group until its first report, but listed, so that a sweep finds it should its gateway die before that.
      rec.group = '-'
      redis.call('HSET', key, 'origin', uid, 'createdAt', int(now_ms), 'group', '-', 'takes', '0')
      redis.call('ZADD', prefix .. 'uids', 0, uid)
      note_change(uid)
    end
    if owner == '' then
      -- Who was sent away by a gateway that stopped, and comes back soon, has been connected all the time.
      local moved = rec.moved == '1' and now_ms - (tonumber(rec.lastSeen) or 0) < MOVED_MS
      if not moved and not (again and rec.connectedAt) then redis.call('HSET', key, 'connectedAt', int(now_ms)) end
      shift_facets(rec.facets, rec.facets, 0, 1)
    end
    if rec.moved then redis.call('HDEL', key, 'moved') end
    for field, text in pairs(rec) do
      local id = string.match(field, '^r:(.+)$')
      if id then
        local row = parse_row(text)
        if has_ended(id, true) or not row then
          redis.call('HDEL', key, field)
        elseif owner == '' then
          -- A restoring row was closed when its agent went away; now it is awaited again.
          if row.status == 'restoring' then row.deadline = now_ms + row.ack end
          put_row(uid, id, parse_row(text), row, 0, 1)
        elseif owner ~= me then
          -- Taken over from a gateway that may have died: the agent needs time to come back.
          extend_deadline(row)
          put_row(uid, id, parse_row(text), row, 1, 1)
        end
      end
    end
    if rec.group then put_member(uid, rec.group, me, epoch, rec.takes or '0', rec.origin or uid) end
    if silence ~= '' then
      redis.call('ZADD', prefix .. 'polls', int(now_ms + tonumber(silence)), uid)
    else
      redis.call('ZREM', prefix .. 'polls', uid)
    end
    replies[#replies + 1] = { 'ok', epoch, owner, redis.call('HGETALL', key) }
  end
end

write_sums()
return replies
