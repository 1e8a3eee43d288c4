-- Sends one request over and over: wrk -s post.lua URL -- BODY-FILE [NAME: VALUE]...
-- and tells what came of it in one line of JSON.

local post

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local headers = {}
  for place = 2, #args do
    local name, value = args[place]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  post = wrk.format("POST", nil, headers, file:read("*a"))
  file:close()
end

function request()
  return post
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
