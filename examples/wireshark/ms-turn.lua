-- MS-TURN over TCP for Wireshark and tshark: the pseudo-TLS hellos and the 4-octet framing of [MS-TURN] 2.1, with the messages inside handed
-- to the STUN dissectors and media to RTP. Wireshark knows STUN, but not this framing.
--
--   tshark -X lua_script:ms-turn.lua -r capture.pcapng        or copy it to Wireshark's plugin folder
--
-- It takes TCP port 3478, where Sallyport's captures put MS-TURN; for port 443 of other captures use Decode As, MS-TURN.

local ms_turn = Proto("msturn", "MS-TURN over TCP")
local kinds = { [2] = "control", [3] = "data" }
local f_kind = ProtoField.uint8("msturn.type", "Frame type", base.DEC, kinds)
local f_length = ProtoField.uint16("msturn.length", "Frame length", base.DEC)
local f_hello = ProtoField.bytes("msturn.hello", "Pseudo-TLS hello")
local f_message = ProtoField.uint16("msturn.message", "Message type", base.HEX, {
  [0x0003] = "Allocate", [0x0103] = "Allocate response", [0x0113] = "Allocate error response", [0x0004] = "Send", [0x0115] = "Data indication",
  [0x0006] = "Set Active Destination", [0x0106] = "Set Active Destination response", [0x0116] = "Set Active Destination error response",
})
ms_turn.fields = { f_kind, f_length, f_hello, f_message }

-- Messages with the magic cookie of RFC 5389, and those of the older draft that [MS-TURN] builds on.
local stun = Dissector.get("stun-udp")
local older_stun = Dissector.get("classicstun")
local cookie = 0x2112a442
local rtp = Dissector.get("rtp")
local tls_handshake = 0x16

-- Length of the unit at an offset, or nil when more octets are needed to tell.
local function unit_length(tvb, offset)
  local left = tvb:len() - offset
  if tvb(offset, 1):uint() == tls_handshake then
    if left < 5 then return nil end
    return tvb(offset + 3, 2):uint() + 5
  end
  if left < 4 then return nil end
  return tvb(offset + 2, 2):uint() + 4
end

local function dissect_unit(tvb, pinfo, tree, offset, length)
  local unit = tvb(offset, length)
  local branch = tree:add(ms_turn, unit)
  local first = tvb(offset, 1):uint()
  if first == tls_handshake then
    branch:add(f_hello, unit)
    branch:append_text(", pseudo-TLS hello")
    pinfo.cols.info:append(" pseudo-TLS hello")
    return
  end
  branch:add(f_kind, tvb(offset, 1))
  branch:add(f_length, tvb(offset + 2, 2))
  branch:append_text(", " .. (kinds[first] or "unknown") .. " frame")
  if length == 4 then return end
  local body = tvb(offset + 4, length - 4)
  if first == 2 and length >= 6 then
    local _, item = branch:add(f_message, tvb(offset + 4, 2))
    local is_new = body:len() >= 8 and body(4, 4):uint() == cookie
    local dissector = is_new and stun or older_stun
    dissector:call(body:tvb(), pinfo, branch)
  elseif first == 3 then
    if tvb(offset + 4, 1):bitfield(0, 2) == 2 then rtp:call(body:tvb(), pinfo, branch) end
  end
end

function ms_turn.dissector(tvb, pinfo, tree)
  pinfo.cols.protocol = "MS-TURN"
  pinfo.cols.info:clear()
  local offset = 0
  while offset < tvb:len() do
    local length = unit_length(tvb, offset)
    if length == nil or offset + length > tvb:len() then
      pinfo.desegment_offset = offset
      pinfo.desegment_len = length == nil and DESEGMENT_ONE_MORE_SEGMENT or offset + length - tvb:len()
      return tvb:len()
    end
    dissect_unit(tvb, pinfo, tree, offset, length)
    pinfo.cols.protocol = "MS-TURN"
    offset = offset + length
  end
  return offset
end

DissectorTable.get("tcp.port"):add(3478, ms_turn)
