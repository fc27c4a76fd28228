-- Adds a version to a named config unless the newest one has the same content.
-- KEYS    1 configs (name -> newest version number), 2 versions of this config (number -> metadata), 3 audit
-- ARGV    1 name, 2 hash, 3 metadata (JSON without version; holds the hash), 4 audit entry
-- returns {'created' | 'same', version, metadata}

local latest = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if latest > 0 then
  local known = redis.call('HGET', KEYS[2], tostring(latest))
  local hash = redis.call('HGET', KEYS[2], tostring(latest) .. ':hash')
  if hash == ARGV[2] then return { 'same', latest, known } end
end
local version = latest + 1
redis.call('HSET', KEYS[2], tostring(version), ARGV[3], tostring(version) .. ':hash', ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], version)
if ARGV[4] ~= '' then append_audit(KEYS[3], ARGV[4]) end
return { 'created', version, ARGV[3] }
