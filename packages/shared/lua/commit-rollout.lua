-- One step of a rollout: document, fleet spec, events and outbox in one call that checks the revision.
-- KEYS    1 rollout document, 2 spec, 3 rollouts:due, 4 rollout events, 5 rollouts:active, 6 rollouts, 7 outbox,
--         8 idempotency key (or the document again when there is none), 9 events of the whole fleet
-- ARGV    1 id, 2 expected rev ('0' = create), 3 new rev, 4 document, 5 group, 6 createdAt ms, 7 next evaluation ms
--         ('' = never again), 8 active: 'keep' | 'clear' | 'set' | 'replace:<id>', 9 idempotency ('1' | '0'),
--         10 spec channel, 11 nSet, (field, value)..., nDel, field..., nEvents, event..., nOutbox, message...
-- returns {'ok', generation} | {'stale', rev} | {'exists', id} (idempotency) | {'active', id} | {'no-group'}

local id, expected, new_rev, document, group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local created, next_eval, active, idempotent, channel = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', ARGV[10]
local replaced = string.match(active, '^replace:(.+)$')

if idempotent and expected == '0' then
  local known = redis.call('GET', KEYS[8])
  if known then return { 'exists', known } end
end

local rev = redis.call('HGET', KEYS[1], 'rev') or '0'
if rev ~= expected then return { 'stale', rev } end

if expected == '0' then
  if redis.call('HEXISTS', KEYS[2], 'group:' .. group) == 0 then return { 'no-group' } end
  local other = redis.call('HGET', KEYS[5], group)
  if active == 'set' and other then return { 'active', other } end
  -- Replacing a rollout that has ended meanwhile is the same as none being active.
  if replaced and other and other ~= replaced then return { 'active', other } end
end

local at = 11
local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end

local changed = false
for _ = 1, tonumber(take()) do
  local field, value = take(), take()
  redis.call('HSET', KEYS[2], field, value)
  changed = true
end
for _ = 1, tonumber(take()) do
  redis.call('HDEL', KEYS[2], take())
  changed = true
end

redis.call('HSET', KEYS[1], 'rev', new_rev, 'doc', document)
if next_eval == '' then redis.call('ZREM', KEYS[3], id) else redis.call('ZADD', KEYS[3], next_eval, id) end
if expected == '0' then redis.call('ZADD', KEYS[6], created, id) end
if active == 'set' or replaced then
  redis.call('HSET', KEYS[5], group, id)
elseif active == 'clear' and redis.call('HGET', KEYS[5], group) == id then
  redis.call('HDEL', KEYS[5], group)
end
if idempotent and expected == '0' then redis.call('SET', KEYS[8], id, 'EX', 86400) end

for _ = 1, tonumber(take()) do
  local event = take()
  redis.call('RPUSH', KEYS[4], event)
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', 10000, '*', 'event', event)
end
for _ = 1, tonumber(take()) do redis.call('XADD', KEYS[7], 'MAXLEN', '~', 100000, '*', 'message', take()) end

local generation = redis.call('HGET', KEYS[2], 'generation') or '0'
if changed then
  generation = redis.call('HINCRBY', KEYS[2], 'generation', 1)
  redis.call('PUBLISH', channel, generation)
end
return { 'ok', tostring(generation) }
