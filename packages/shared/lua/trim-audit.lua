-- Removes the entries of the audit log up to one of them, and says so in the log itself: what is left begins with the hash that this
-- entry names.
-- KEYS    1 audit
-- ARGV    1 id of the last entry to remove, 2 audit entry
-- returns how many were removed; 0 when somebody else was first

local known = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #known == 0 then return 0 end
append_audit(KEYS[1], ARGV[2])
local after = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)[1]
return redis.call('XTRIM', KEYS[1], 'MINID', '=', after[1])
