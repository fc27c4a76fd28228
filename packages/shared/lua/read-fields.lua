-- Reads the same fields of many records in one call: to the caller that is a fraction of the cost of one command each.
-- KEYS    1 any key of the shard
-- ARGV    1 prefix, 2 number of fields, then the fields, then uid...
-- returns per uid: the values, nil where a field is absent

local fields = {}
local count = tonumber(ARGV[2])
for i = 1, count do fields[i] = ARGV[2 + i] end
local replies = {}
for i = 3 + count, #ARGV do replies[#replies + 1] = redis.call('HMGET', ARGV[1] .. 'agent:' .. ARGV[i], unpack(fields)) end
return replies
