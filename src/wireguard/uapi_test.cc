#include "wireguard/uapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::wireguard::uapi {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string key_a = "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a";
const std::string key_b = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

std::array<std::uint8_t, key_size> key(const std::string& text) {
  std::array<std::uint8_t, key_size> out{};
  EXPECT_TRUE(decode_hex(text, out));
  return out;
}

IpPrefix prefix(std::string_view text) { return IpPrefix::parse(text).value(); }

unsigned int find_device(const char* name) { return std::string_view(name) == "eth7" ? 7 : 0; }

DeviceConfig parse_set(const std::string& lines) {
  auto request = parse_request("set=1\n" + lines + "\n", find_device);
  EXPECT_TRUE(request) << request.error().message;
  if (!request || !std::holds_alternative<DeviceConfig>(*request)) return {};
  return std::get<DeviceConfig>(*request);
}

TEST(Uapi, FindsTheEndOfARequest) {
  EXPECT_EQ(request_length(""), 0U);
  EXPECT_EQ(request_length("get=1\n"), 0U);
  EXPECT_EQ(request_length("get=1\n\n"), 7U);
  EXPECT_EQ(request_length("set=1\nfwmark=1\n\nget=1\n\n"), 16U);
}

TEST(Uapi, ReadsGet) {
  const auto request = parse_request("get=1\n\n");
  ASSERT_TRUE(request);
  EXPECT_TRUE(std::holds_alternative<Get>(*request));
  EXPECT_EQ(parse_request("get=1\nfwmark=1\n\n").error().code, EINVAL);
}

TEST(Uapi, ReadsEveryKey) {
  const auto device = parse_set(
      "private_key=" + key_a + "\nlisten_port=12912\nfwmark=4294967295\nreplace_peers=true\n" +
      "public_key=" + key_b + "\nupdate_only=true\npreshared_key=" + key_a +
      "\nendpoint=[abcd:23::33%eth7]:51820\npersistent_keepalive_interval=65535\n"
      "replace_allowed_ips=true\nallowed_ip=192.168.4.4/32\nallowed_ip=-fd00::/8\n"
      "protocol_version=1\npublic_key=" +
      key_a + "\nremove=true\n");
  DeviceConfig expected;
  expected.private_key = crypto::Key(key(key_a));
  expected.listen_port = 12912;
  expected.fwmark = 0xffff'ffff;
  expected.replace_peers = true;
  PeerConfig peer;
  peer.public_key = key(key_b);
  peer.update_only = true;
  peer.replace_allowed_ips = true;
  peer.preshared_key = crypto::Key(key(key_a));
  peer.endpoint = Endpoint{IpAddress::parse("abcd:23::33").value(), 51820, 7};
  peer.persistent_keepalive = 65535;
  peer.allowed_ips = {{prefix("192.168.4.4/32"), false}, {prefix("fd00::/8"), true}};
  expected.peers.push_back(peer);
  PeerConfig removed;
  removed.public_key = key(key_a);
  removed.remove = true;
  expected.peers.push_back(removed);
  EXPECT_EQ(device, expected);
}

TEST(Uapi, LeavesOutWhatIsNotNamed) {
  EXPECT_EQ(parse_set(""), DeviceConfig{});
  const auto device = parse_set("public_key=" + key_b + "\n");
  ASSERT_EQ(device.peers.size(), 1U);
  PeerConfig bare;
  bare.public_key = key(key_b);
  EXPECT_EQ(device.peers[0], bare);
}

TEST(Uapi, ReplacingAllowedIpsForgetsThoseNamedBefore) {
  const auto device = parse_set("public_key=" + key_b +
                                "\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\n"
                                "allowed_ip=10.1.0.0/16\n");
  ASSERT_EQ(device.peers[0].allowed_ips.size(), 1U);
  EXPECT_EQ(device.peers[0].allowed_ips[0].prefix, prefix("10.1.0.0/16"));
}

TEST(Uapi, AnswersErrorsWithTheirErrno) {
  const std::string peer = "public_key=" + key_b + "\n";
  const auto code = [&](const std::string& lines) {
    const auto request = parse_request("set=1\n" + lines + "\n\n", find_device);
    EXPECT_FALSE(request) << lines;
    return request ? 0 : request.error().code;
  };
  for (const auto& line : {"fwmark", "private_key", "x"}) EXPECT_EQ(code(line), EPROTO) << line;
  for (const std::string& line :
       {std::string("private_key="), "private_key=" + key_a.substr(1), "private_key=" + key_a + "0",
        "private_key=" + key_a.substr(1) + "g", std::string("listen_port=65536"),
        std::string("listen_port=-1"), std::string("listen_port=+1"), std::string("listen_port="),
        std::string("listen_port=1 "), std::string("fwmark=4294967296"), std::string("fwmark=0x10"),
        std::string("replace_peers=false"), std::string("replace_peers="),
        std::string("endpoint=1.2.3.4:5"), std::string("public_key=00"), std::string("unknown=1"),
        std::string("=1")})
    EXPECT_EQ(code(line), EINVAL) << line;
  for (const std::string line : {"remove=false",
                                 "update_only=1",
                                 "replace_allowed_ips=no",
                                 "preshared_key=1",
                                 "endpoint=1.2.3.4",
                                 "endpoint=1.2.3.4:65536",
                                 "endpoint=host:1",
                                 "endpoint=::1:5",
                                 "endpoint=[1.2.3.4]:5",
                                 "endpoint=[::1]",
                                 "endpoint=[::1%eth8]:5",
                                 "endpoint=1.2.3.4%eth7:5",
                                 "persistent_keepalive_interval=65536",
                                 "persistent_keepalive_interval=off",
                                 "allowed_ip=10.0.0.0",
                                 "allowed_ip=10.0.0.0/33",
                                 "allowed_ip=::/129",
                                 "allowed_ip=/0",
                                 "allowed_ip=--10.0.0.0/8",
                                 "protocol_version=2",
                                 "listen_port=1",
                                 "rx_bytes=1"})
    EXPECT_EQ(code(peer + line), EINVAL) << line;
  EXPECT_EQ(parse_request("get=2\n\n").error().code, EPROTO);
  EXPECT_EQ(parse_request("\n\n").error().code, EPROTO);
}

TEST(Uapi, ErrorsNameTheLineAndShowNoKey) {
  auto error = parse_request("set=1\nfwmark=1\nprivate_key=" + key_a + "z\n\n").error().message;
  EXPECT_THAT(error, HasSubstr("line 3: private_key: "));
  EXPECT_THAT(error, Not(HasSubstr(key_a)));
  // The key has slipped into the wrong place.
  error = parse_request("set=1\n" + key_a + "=\n\n").error().message;
  EXPECT_THAT(error, Not(HasSubstr(key_a.substr(0, 10))));
}

TEST(Uapi, WritesWhatWgReads) {
  SecretText out;
  DeviceStatus device;
  device.private_key = crypto::Key(key(key_a));
  device.listen_port = 51820;
  device.fwmark = 7;
  write_device(out, device);
  const std::vector<IpPrefix> allowed = {prefix("10.0.0.7/32"), prefix("fd00::/64")};
  PeerStatus peer;
  peer.public_key = key(key_b);
  peer.endpoint = Endpoint{IpAddress::parse("2001:db8::7").value(), 51821, 0};
  peer.last_handshake_seconds = 1'700'000'000;
  peer.last_handshake_nanoseconds = 5;
  peer.received_bytes = 1;
  peer.sent_bytes = 18446744073709551615U;
  peer.persistent_keepalive = 25;
  peer.allowed_ips = allowed;
  write_peer(out, peer);
  write_end(out, 0);
  EXPECT_EQ(std::string(out.begin(), out.end()), "private_key=" + key_a + R"(
listen_port=51820
fwmark=7
public_key=)" + key_b +
                                                     R"(
preshared_key=0000000000000000000000000000000000000000000000000000000000000000
protocol_version=1
endpoint=[2001:db8::7]:51821
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=18446744073709551615
rx_bytes=1
persistent_keepalive_interval=25
allowed_ip=10.0.0.7/32
allowed_ip=fd00::/64
errno=0

)");
}

TEST(Uapi, WritesNothingOfAnInterfaceThatHasNothing) {
  SecretText out;
  write_device(out, {});
  write_end(out, EADDRINUSE);
  EXPECT_EQ(std::string(out.begin(), out.end()), "errno=-98\n\n");
}

}  // namespace
}  // namespace warren::wireguard::uapi
