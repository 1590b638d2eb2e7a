-- Sends so many requests at once, and the next when all of their answers have come:
-- wrk -s pipeline.lua URL -- 16

local all

function init(args)
   all = string.rep(wrk.format(), tonumber(args[1]))
end

function request()
   return all
end
