-- Changes fields of the fleet spec that belong to no rollout: groups, stable versions outside rollouts, the freeze.
-- KEYS    1 spec, 2 rollouts:active, 3 audit
-- ARGV    1 spec channel, 2 group that must have no active rollout ('' = no such guard), 3 field that must exist ('' = none),
--         4 audit entry, 5 nSet, (field, value)..., field to delete...
-- returns {'ok', generation} | {'active', rollout id} | {'missing'}

local channel, guard, must_exist, audit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if must_exist ~= '' and redis.call('HEXISTS', KEYS[1], must_exist) == 0 then return { 'missing' } end
if guard ~= '' then
  local other = redis.call('HGET', KEYS[2], guard)
  if other then return { 'active', other } end
end
local n_set = tonumber(ARGV[5])
for i = 6, 4 + 2 * n_set, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 6 + 2 * n_set, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if audit ~= '' then append_audit(KEYS[3], audit) end
local generation = redis.call('HINCRBY', KEYS[1], 'generation', 1)
redis.call('PUBLISH', channel, generation)
return { 'ok', tostring(generation) }
