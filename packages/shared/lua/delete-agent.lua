-- Forgets an agent that is away and has no open row.
-- KEYS[1] any key of the shard (routing only)
-- ARGV    prefix, uid
-- returns 'ok' | 'unknown' | 'connected' | 'open'

local uid = ARGV[2]
local key = agent_key(uid)
local rec = to_table(redis.call('HGETALL', key))
if not rec.origin then return 'unknown' end
if (rec.owner or '') ~= '' then return 'connected' end
local rows = {}
for field, text in pairs(rec) do
  local id = string.match(field, '^r:(.+)$')
  if id and not has_ended(id, true) then
    local row = parse_row(text)
    if row and UNSETTLED[row.status] then return 'open' end
    if row then rows[id] = row end
  end
end
for id, row in pairs(rows) do count(id, row.wave, row.status, 0, -1) end
shift_facets(rec.facets, '', 0, 0)
write_sums()
redis.call('DEL', key, prefix .. 'effective:' .. uid)
redis.call('ZREM', prefix .. 'uids', uid)
redis.call('ZREM', prefix .. 'agents', uid)
redis.call('ZREM', prefix .. 'edited', uid)
return 'ok'
