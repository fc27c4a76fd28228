-- Appends an entry to the audit log.
-- KEYS    1 audit
-- ARGV    1 audit entry
-- returns its id

return append_audit(KEYS[1], ARGV[1])
