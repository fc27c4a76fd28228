-- Changes the state of something that is watched and puts what must be told of it into the outbox, in one step.
-- KEYS    1 alerts:states, 2 outbox
-- ARGV    1 name, 2 state it must have ('' = none), 3 new state ('' = none), 4 message ('' = none)
-- returns 1 when it was changed, 0 when somebody else was first

if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'message', ARGV[4]) end
return 1
