-- One session of a shared store, as one atomic step on one key. What each action does and replies is said in `Action` of shared.rs;
-- shelf.rs does the same in Rust, and a test compares them.
local key = KEYS[1]
local action, me, known = ARGV[1], ARGV[2], ARGV[3]
local ttl, hold = tonumber(ARGV[4]), tonumber(ARGV[5])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', key, 'version', 'position', 'deleted', 'claimed_by', 'claimed_until')
local version, position, deleted, claimed_by = found[1], found[2], found[3], found[4]
local is_claimed = claimed_by and tonumber(found[5]) > now
local taken = is_claimed and claimed_by ~= me
local held = is_claimed and claimed_by == me
-- A session that this server wrote last is at least as new there.
local own = version and string.sub(version, 1, #me) == me
local current = known ~= '' and (own or version == known)
local rests = not version or own or version == known
local reserved = held and deleted and known == ''

local function live_for(milliseconds)
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, milliseconds)
  end
end

local function claim()
  redis.call('HSET', key, 'claimed_by', me, 'claimed_until', now + hold)
  live_for(hold)
end

local function hold_or_release()
  if hold > 0 then
    claim()
  else
    redis.call('HDEL', key, 'claimed_by', 'claimed_until')
  end
end

local function stored()
  return {'newer', version, position, redis.call('PTTL', key), redis.call('HGET', key, 'bytes')}
end

local function refused()
  if deleted then
    return {'deleted'}
  end
  return {'refused', position or '0'}
end

if action == 'look' then
  if not version then
    return {'absent'}
  elseif deleted then
    return {'deleted'}
  elseif current then
    return {'done'}
  end
  return stored()
end

if action == 'claim' then
  if taken then
    return {'busy'}
  end
  local nothing = not version or deleted
  local reserve = ARGV[6]
  local may_reserve = reserved or reserve == 'deleted' or (reserve == 'absent' and not deleted)
  if nothing and not may_reserve then
    return {deleted and 'deleted' or 'absent'}
  end
  claim()
  if nothing or current then
    return {'done'}
  end
  return stored()
end

if action == 'put' then
  if taken or not (rests or reserved) then
    return refused()
  end
  redis.call('HSET', key, 'version', ARGV[6], 'position', ARGV[7], 'bytes', ARGV[8])
  redis.call('HDEL', key, 'deleted')
  redis.call('PEXPIRE', key, math.max(ttl, hold))
  hold_or_release()
  return {'done'}
end

if action == 'remove' then
  if taken or not (rests or reserved) then
    return refused()
  end
  redis.call('DEL', key)
  redis.call('HSET', key, 'version', ARGV[6], 'position', '0', 'deleted', '1')
  redis.call('PEXPIRE', key, ttl)
  return {'done'}
end

if action == 'touch' then
  if not version and not claimed_by then
    return {'absent'}
  elseif deleted and not reserved then
    return {'deleted'}
  elseif not (rests or reserved) then
    return refused()
  end
  if version and not deleted then
    live_for(ttl)
  end
  if taken and hold > 0 then
    return refused()
  end
  if not taken then
    hold_or_release()
  end
  return {'done'}
end

return redis.error_reply('ERR unknown action')
