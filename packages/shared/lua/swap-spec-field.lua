-- Replaces one field of the fleet spec if it still says what the caller has read, and tells the gateways to look.
-- KEYS    1 spec, 2 audit, 3 outbox
-- ARGV    1 spec channel, 2 field, 3 text it must have ('' = absent), 4 new text, 5 audit entry ('' = none), 6 outbox message ('' = none)
-- returns 1 when it was replaced, 0 when somebody else was first

local current = redis.call('HGET', KEYS[1], ARGV[2]) or ''
if current ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
if ARGV[5] ~= '' then append_audit(KEYS[2], ARGV[5]) end
if ARGV[6] ~= '' then redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'message', ARGV[6]) end
redis.call('PUBLISH', ARGV[1], redis.call('HINCRBY', KEYS[1], 'generation', 1))
return 1
