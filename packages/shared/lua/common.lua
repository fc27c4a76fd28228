-- Shared by every script that touches agent records; prepended to each of them by scripts.ts.
-- ARGV[1] is the shard's key prefix (`opamp:{ss}:`); all keys of a call live in that one slot.

local prefix = ARGV[1]

local function redis_now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
end

local now_ms, now_us = redis_now()

local function int(n)
  return string.format('%.0f', n)
end

local function agent_key(uid)
  return prefix .. 'agent:' .. uid
end

local function rollout_key(id)
  return prefix .. 'rollout:' .. id
end

local function to_table(flat)
  local t = {}
  for i = 1, #flat, 2 do t[flat[i]] = flat[i + 1] end
  return t
end

local UNSETTLED = { offered = true, applying = true, verifying = true, restoring = true }

-- Legal moves of a row inside one attempt. `restoring` may be entered from every status that was touched by the
-- rollout; a higher attempt may start again at any status (checked in `legal`).
local MOVES = {
  offered = { applying = 1, verifying = 1, applied = 1, failed = 1, degraded = 1, lost = 1, timedOut = 1, unverified = 1, observed = 1, skipped = 1, left = 1, restoring = 1 },
  applying = { verifying = 1, applied = 1, failed = 1, degraded = 1, lost = 1, timedOut = 1, unverified = 1, left = 1, restoring = 1 },
  verifying = { applied = 1, observed = 1, failed = 1, degraded = 1, lost = 1, left = 1, restoring = 1 },
  applied = { degraded = 1, failed = 1, restoring = 1, left = 1 },
  degraded = { applied = 1, failed = 1, unverified = 1, restoring = 1, left = 1 },
  failed = { restoring = 1, left = 1 },
  lost = { applied = 1, failed = 1, degraded = 1, restoring = 1, left = 1 },
  timedOut = { applied = 1, failed = 1, degraded = 1, restoring = 1, left = 1 },
  unverified = { applied = 1, failed = 1, degraded = 1, restoring = 1, left = 1 },
  observed = { applied = 1, failed = 1, degraded = 1, restoring = 1, left = 1 },
  left = { offered = 1, applying = 1, verifying = 1, applied = 1, failed = 1, unverified = 1, degraded = 1, restoring = 1 },
  skipped = { offered = 1, applied = 1, unverified = 1 },
  restoring = { restored = 1, restoreFailed = 1, left = 1 },
  restored = {},
  restoreFailed = { restored = 1 },
}

-- Whether the agent has the capability of this bit. A mask of 64 bits is more than a number holds; its low bits follow from the
-- last digits.
local function has_capability(rec, bit)
  local mask = tonumber(string.sub(rec.capabilities or '0', -13)) or 0
  return math.floor(mask / bit) % 2 == 1
end

-- ReportsRemoteConfig. A record that tells no capabilities is judged as one of an agent that reports.
local function can_report(rec)
  return (rec.capabilities or '') == '' or has_capability(rec, 4096)
end

-- ReportsEffectiveConfig without ReportsRemoteConfig: judged by the effective config and by health.
local function is_observable(rec)
  return not can_report(rec) and has_capability(rec, 4)
end

-- `wave|status|attempt|deadline|offeredAt|ackTimeout|soft`
local function parse_row(text)
  local wave, status, attempt, deadline, offered_at, ack, soft = string.match(text, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
  if not wave then return nil end
  return {
    wave = wave,
    status = status,
    attempt = tonumber(attempt) or 1,
    deadline = tonumber(deadline) or 0,
    offered_at = tonumber(offered_at) or 0,
    ack = tonumber(ack) or 0,
    soft = soft,
  }
end

local function format_row(row)
  return row.wave .. '|' .. row.status .. '|' .. int(row.attempt) .. '|' .. int(row.deadline) .. '|' .. int(row.offered_at) .. '|' .. int(row.ack) .. '|' .. row.soft
end

local function legal(old, status, attempt)
  if old.status == status and old.attempt == attempt then return true end
  if attempt > old.attempt then
    -- A gateway may not know that a row was judged observed: nothing of that is to be tried again.
    if old.status == 'observed' and status == 'offered' then return false end
    return status ~= 'restored' and status ~= 'restoreFailed'
  end
  if attempt < old.attempt then return false end
  local moves = MOVES[old.status]
  return moves ~= nil and moves[status] ~= nil
end

-- What many agents of one call change alike is summed up here, and written once, by `write_sums` at the end of every script.
-- counts: rollout id -> field -> by; facets: column -> facets of an agent, as stored -> by; open: rollout id -> uid -> deadline, or
-- false; members: group -> uid -> text, or false; changed: uids.
local sums = { counts = {}, facets = { [0] = {}, [1] = {} }, open = {}, members = {}, changed = {} }

-- Appends two values: a field or a score, and what belongs to it.
local function push_pair(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

local function within(map, name)
  local inner = map[name]
  if not inner then
    inner = {}
    map[name] = inner
  end
  return inner
end

-- Rollouts that this call has looked up: id -> 'ended' | 'known' | 'unknown'.
local standing = {}

-- A rollout that has ended keeps its counters for a while, with the field `ended`; its rows are dropped on sight.
local function has_ended(id, known)
  if not standing[id] then
    local key = rollout_key(id)
    if redis.call('HEXISTS', key, 'ended') == 1 then
      standing[id] = 'ended'
    else
      standing[id] = redis.call('EXISTS', key) == 1 and 'known' or 'unknown'
    end
  end
  return standing[id] == 'ended' or (known and standing[id] == 'unknown')
end

local function count(id, wave, status, connected, by)
  local counts = within(sums.counts, id)
  local field = wave .. ':' .. status .. ':' .. connected
  counts[field] = (counts[field] or 0) + by
  if standing[id] == 'unknown' then standing[id] = 'known' end
end

local function set_open(id, uid, row)
  within(sums.open, id)[uid] = UNSETTLED[row.status] and row.deadline or false
end

-- Notes when an agent's record changed.
local function note_change(uid)
  sums.changed[uid] = true
end

-- Calls with as many arguments as Lua can unpack at a time.
local MOST_ARGUMENTS = 1000

local function call_many(command, key, list)
  for from = 1, #list, MOST_ARGUMENTS do
    redis.call(command, key, unpack(list, from, math.min(#list, from + MOST_ARGUMENTS - 1)))
  end
end

local function add_up(key, deltas)
  for field, by in pairs(deltas) do
    if by ~= 0 and redis.call('HINCRBY', key, field, by) == 0 then redis.call('HDEL', key, field) end
  end
end

-- Writes what was summed up; a script calls it once.
local function write_sums()
  for id, counts in pairs(sums.counts) do add_up(rollout_key(id), counts) end
  local facets = {}
  for column, texts in pairs(sums.facets) do
    for text, by in pairs(texts) do
      if by ~= 0 then
        for facet in string.gmatch(text, '[^\n]+') do
          local field = facet .. '|' .. column
          facets[field] = (facets[field] or 0) + by
        end
      end
    end
  end
  add_up(prefix .. 'facets', facets)
  for id, rows in pairs(sums.open) do
    local add, remove = {}, {}
    for uid, deadline in pairs(rows) do
      if deadline then
        push_pair(add, int(deadline), uid)
      else
        remove[#remove + 1] = uid
      end
    end
    call_many('ZADD', rollout_key(id) .. ':open', add)
    call_many('ZREM', rollout_key(id) .. ':open', remove)
  end
  for group, members in pairs(sums.members) do
    local set, remove = {}, {}
    for uid, text in pairs(members) do
      if text then
        push_pair(set, uid, text)
      else
        remove[#remove + 1] = uid
      end
    end
    call_many('HSET', prefix .. 'members:' .. group, set)
    call_many('HDEL', prefix .. 'members:' .. group, remove)
    if #set > 0 then redis.call('SADD', prefix .. 'member-groups', group) end
  end
  local changed = {}
  for uid in pairs(sums.changed) do
    push_pair(changed, int(now_ms), uid)
  end
  call_many('ZADD', prefix .. 'agents', changed)
end

-- Writes `row`, and moves the counters from `old` (nil: none) in column `was` to `row` in column `is`. With `fields` the row is
-- only added to that list of fields and values, which the caller writes.
local function put_row(uid, id, old, row, was, is, fields)
  if fields then
    push_pair(fields, 'r:' .. id, format_row(row))
  else
    redis.call('HSET', agent_key(uid), 'r:' .. id, format_row(row))
  end
  if old then count(id, old.wave, old.status, was, -1) end
  count(id, row.wave, row.status, is, 1)
  set_open(id, uid, row)
end

local function shift_facets(old, new, was, is)
  if old == new and was == is then return end
  local from, to = sums.facets[was], sums.facets[is]
  if old and old ~= '' then from[old] = (from[old] or 0) - 1 end
  if new and new ~= '' then to[new] = (to[new] or 0) + 1 end
end

-- members:<group>  uid -> gateway:epoch:takesConfig:origin  (origin empty when it is the uid)
local function put_member(uid, group, gateway, epoch, takes, origin)
  if origin == uid then origin = '' end
  within(sums.members, group)[uid] = gateway .. ':' .. epoch .. ':' .. takes .. ':' .. origin
end

local function drop_member(uid, group)
  if group and group ~= '' then within(sums.members, group)[uid] = false end
end

-- A disconnect moves an open row's deadline to at least now + ackTimeout, never beyond offer + 3 ackTimeout: a crash of
-- ours must not make an agent lost while it reconnects.
local function extend_deadline(row)
  if not UNSETTLED[row.status] then return end
  local deadline = math.max(row.deadline, now_ms + row.ack)
  if row.offered_at > 0 then deadline = math.min(deadline, math.max(row.deadline, row.offered_at + 3 * row.ack)) end
  row.deadline = deadline
end

-- Turns a connected agent (record `rec`) into one that is away: owner none, facets and rows to column 0, no member. An agent
-- that is away because a gateway stopped or died (`moved`) has not lost its connection by itself.
local function release_agent(uid, rec, moved)
  local key = agent_key(uid)
  redis.call('HSET', key, 'owner', '', 'lastSeen', int(now_ms))
  if moved then redis.call('HSET', key, 'moved', '1') end
  drop_member(uid, rec.group)
  shift_facets(rec.facets, rec.facets, 1, 0)
  for field, text in pairs(rec) do
    local id = string.match(field, '^r:(.+)$')
    if id then
      local old = parse_row(text)
      if has_ended(id, true) or not old then
        redis.call('HDEL', key, field)
      else
        local row = parse_row(text)
        extend_deadline(row)
        put_row(uid, id, old, row, 1, 0)
      end
    end
  end
  redis.call('ZREM', prefix .. 'polls', uid)
  note_change(uid)
end

-- Failures of one rollout in this shard. `failures`: uid -> `status|error`, the first 1,000 in full. `failing`: uid -> the groups
-- that the agent is counted in, for the first 10,000. `failure-groups`: `c|<kind>|<key>` -> agents, `x|<kind>|<key>` -> uids of some
-- of them, `omitted` -> agents beyond that; kinds are m (`status|message`), v (version), s (stratum). `spreadBy` names the attributes
-- that make a stratum.
local LISTED, BOOKED, GROUP_FIELDS, EXAMPLES, SEPARATOR = 1000, 10000, 4000, 3, '\31'

local function stratum_of(groups, rec)
  local spread = redis.call('HGET', groups, 'spreadBy')
  if not spread then return '' end
  local read, attributes = pcall(cjson.decode, rec.attributes or '{}')
  local read_labels, labels = pcall(cjson.decode, rec.labels or '{}')
  if not read or not read_labels or type(attributes) ~= 'table' or type(labels) ~= 'table' then return '' end
  local values = {}
  for name in string.gmatch(spread, '[^\n]+') do
    local label = string.match(name, '^label%.(.+)$')
    local value = label and labels[label]
    if value == nil or value == false then value = (attributes.identifying or {})[name] end
    if value == nil then value = (attributes.nonIdentifying or {})[name] end
    values[#values + 1] = type(value) == 'string' and string.gsub(value, '%c', ' ') or ''
  end
  return table.concat(values, '\n')
end

-- Adds `by` (1 or -1) to the groups of a booking, and the agent to their examples or takes it out.
local function count_groups(groups, uid, booking, by)
  local kinds = { 'm', 'v', 's' }
  local at = 0
  for key in string.gmatch(booking .. SEPARATOR, '([^' .. SEPARATOR .. ']*)' .. SEPARATOR) do
    at = at + 1
    local field = kinds[at] .. '|' .. key
    local left = redis.call('HINCRBY', groups, 'c|' .. field, by)
    local examples = redis.call('HGET', groups, 'x|' .. field) or ''
    if left <= 0 then
      redis.call('HDEL', groups, 'c|' .. field, 'x|' .. field)
    elseif by > 0 then
      local _, known = string.gsub(examples, '[^,]+', '')
      if known < EXAMPLES then redis.call('HSET', groups, 'x|' .. field, examples == '' and uid or (examples .. ',' .. uid)) end
    else
      local rest = {}
      for example in string.gmatch(examples, '[^,]+') do if example ~= uid then rest[#rest + 1] = example end end
      redis.call('HSET', groups, 'x|' .. field, table.concat(rest, ','))
    end
  end
end

local function book_failure(uid, id, rec, status, err, message)
  local key = rollout_key(id)
  local failures, failing, groups = key .. ':failures', key .. ':failing', key .. ':failure-groups'
  if redis.call('HLEN', failures) < LISTED or redis.call('HEXISTS', failures, uid) == 1 then
    redis.call('HSET', failures, uid, status .. '|' .. err)
  end
  local old = redis.call('HGET', failing, uid)
  if not old and redis.call('HLEN', failing) >= BOOKED then
    redis.call('HINCRBY', groups, 'omitted', 1)
    return
  end
  if redis.call('HLEN', groups) >= GROUP_FIELDS then message = '(other)' end
  local version = string.match('\n' .. (rec.facets or ''), '\nversion=([^\n]*)') or ''
  local booking = status .. '|' .. message .. SEPARATOR .. version .. SEPARATOR .. stratum_of(groups, rec)
  if old == booking then return end
  if old then count_groups(groups, uid, old, -1) end
  redis.call('HSET', failing, uid, booking)
  count_groups(groups, uid, booking, 1)
end

local function forget_failure(uid, id)
  local key = rollout_key(id)
  redis.call('HDEL', key .. ':failures', uid)
  local old = redis.call('HGET', key .. ':failing', uid)
  if not old then return end
  redis.call('HDEL', key .. ':failing', uid)
  count_groups(key .. ':failure-groups', uid, old, -1)
end

-- What an agent that failed may become by itself: `unverified` and `observed` are those that cannot report.
local RECOVERED = { applied = true, unverified = true, observed = true }

-- Why a row is judged badly where nobody reported anything.
local REASONS = {
  lost = 'went away and did not answer in time',
  timedOut = 'did not answer the offer in time',
  degraded = 'was unhealthy when its time ran out',
  failed = 'config apply timeout exceeded, and unhealthy since',
  restoreFailed = 'did not acknowledge the previous version in time',
}

-- Gives the row of an agent (record `rec`) a verdict of Redis' own, and lists the failure or, tried again, forgets it.
local function judge_row(uid, id, rec, status)
  local old, new = parse_row(rec['r:' .. id]), parse_row(rec['r:' .. id])
  local column = (rec.owner or '') ~= '' and 1 or 0
  new.status = status
  put_row(uid, id, old, new, column, column)
  if new.attempt > 1 and RECOVERED[status] then forget_failure(uid, id) end
  if REASONS[status] then book_failure(uid, id, rec, status, REASONS[status], REASONS[status]) end
end
