-- Part of every script that writes to the audit log: each entry carries a hash over its number, the hash before it and the digest
-- of its text. A text that is changed, or an entry that is missing, does not fit what follows.
-- An entry is handed over as 64 hex digits, the SHA-256 of its text, and the text behind them.

local band, bnot, bxor, ror, rshift, tobit = bit.band, bit.bnot, bit.bxor, bit.ror, bit.rshift, bit.tobit

-- Fractional parts of the cube roots of the first 64 primes. [FIPS 180-4 section 4.2.2]
local SHA256_K = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

-- SHA-256 of a short text, in hex. Redis offers SHA-1 only. [FIPS 180-4 section 6.2]
local function sha256(text)
  local length = #text
  local padded = text .. '\128' .. string.rep('\0', (55 - length) % 64) .. '\0\0\0\0'
    .. string.char(rshift(length * 8, 24) % 256, rshift(length * 8, 16) % 256, rshift(length * 8, 8) % 256, (length * 8) % 256)
  local h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }
  for block = 1, #padded, 64 do
    local w = {}
    for i = 1, 16 do
      local b1, b2, b3, b4 = string.byte(padded, block + 4 * (i - 1), block + 4 * (i - 1) + 3)
      w[i] = ((b1 * 256 + b2) * 256 + b3) * 256 + b4
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, hh = unpack(h)
    for i = 1, 64 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local t1 = hh + s1 + bxor(band(e, f), band(bnot(e), g)) + SHA256_K[i] + w[i]
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local t2 = s0 + bxor(band(a, b), band(a, c), band(b, c))
      a, b, c, d, e, f, g, hh = tobit(t1 + t2), a, b, c, tobit(d + t1), e, f, g
    end
    for i, value in ipairs({ a, b, c, d, e, f, g, hh }) do h[i] = tobit(h[i] + value) end
  end
  for i = 1, 8 do h[i] = bit.tohex(h[i]) end
  return table.concat(h)
end

-- Where the chain ends: number and hash of the last entry. Where that note is gone (a restored log), the last entry tells.
local function audit_head(log)
  local head = redis.call('HMGET', log .. ':head', 'seq', 'hash')
  if head[1] and head[2] then return tonumber(head[1]), head[2] end
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local fields = {}
  if last then for i = 1, #last[2], 2 do fields[last[2][i]] = last[2][i + 1] end end
  if fields.seq and fields.hash then return tonumber(fields.seq), fields.hash end
  return 0, string.rep('0', 64)
end

-- Appends an entry to the log; answers its id.
local function append_audit(log, entry)
  local digest, text = string.sub(entry, 1, 64), string.sub(entry, 65)
  local seq, previous = audit_head(log)
  seq = string.format('%d', seq + 1)
  local hash = sha256(seq .. ':' .. previous .. ':' .. digest)
  redis.call('HSET', log .. ':head', 'seq', seq, 'hash', hash)
  return redis.call('XADD', log, '*', 'entry', text, 'seq', seq, 'previous', previous, 'hash', hash)
end
