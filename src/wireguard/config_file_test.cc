#include "wireguard/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wireguard/key_text.h"

namespace warren::wireguard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string private_key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const std::string public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const std::string preshared_key = "6DNaAvUJP/6gKc6S6ND2+TKMy4ZpUnIlvjvMfRpHNRE=";
const std::string interface = "[Interface]\nPrivateKey = " + private_key + "\n";
const std::string peer = interface + "[Peer]\nPublicKey = " + public_key + "\n";

std::array<std::uint8_t, key_size> key(const std::string& text) {
  std::array<std::uint8_t, key_size> out{};
  EXPECT_TRUE(decode_base64(text, out));
  return out;
}

IpPrefix prefix(std::string_view text) { return IpPrefix::parse(text).value(); }

ConfigFile parse(const std::string& text) {
  auto file = parse_config_file(text, "wg0.conf");
  EXPECT_TRUE(file) << file.error().message;
  return file ? *file : ConfigFile{};
}

std::string mistake(const std::string& text) {
  const auto file = parse_config_file(text, "wg0.conf");
  EXPECT_FALSE(file) << text;
  return file ? "" : file.error().message;
}

TEST(ConfigFile, ReadsEveryKey) {
  const auto file = parse("# comment\n[Interface]\nPrivateKey = " + private_key + R"( # here too
ListenPort = 51820
FwMark = 0xca6c
Address = 10.0.3.1/24, fd00::1
Address = 10.0.4.1/24
MTU = 1280

[Peer]
PublicKey = )" + public_key +
                          "\nPresharedKey=" + preshared_key + R"(
Endpoint = [2001:db8::7]:51821
AllowedIPs = 10.0.3.103/32, 10.8.0.0/16
AllowedIPs = fd00::/8
PersistentKeepalive = 25
)");
  DeviceConfig expected;
  expected.private_key = crypto::Key(key(private_key));
  expected.listen_port = 51820;
  expected.fwmark = 0xca6c;
  expected.replace_peers = true;
  PeerConfig only;
  only.public_key = key(public_key);
  only.replace_allowed_ips = true;
  only.preshared_key = crypto::Key(key(preshared_key));
  only.endpoint = Endpoint{IpAddress::parse("2001:db8::7").value(), 51821, 0};
  only.persistent_keepalive = 25;
  only.allowed_ips = {{prefix("10.0.3.103/32")}, {prefix("10.8.0.0/16")}, {prefix("fd00::/8")}};
  expected.peers.push_back(only);
  EXPECT_EQ(file.device, expected);
  EXPECT_EQ(file.addresses,
            (std::vector{prefix("10.0.3.1/24"), prefix("fd00::1/128"), prefix("10.0.4.1/24")}));
  EXPECT_EQ(file.mtu, 1280U);
}

TEST(ConfigFile, TakesFilesAsPeopleHaveThem) {
  const auto file = parse("[INTERFACE]\r\n\tprivatekey=" + private_key +
                          "\r\nfwmark=OFF\r\n\r\n[peer]\r\nPUBLICKEY =" + public_key +
                          "\r\nAllowedIPs =\r\nPersistentKeepalive = off\r\n"
                          "Endpoint = vpn.example.org:51820");
  EXPECT_EQ(file.device.fwmark, 0U);
  EXPECT_EQ(file.device.listen_port, 0U) << "any, as where `wg setconf` finds none";
  const auto& only = file.device.peers.at(0);
  EXPECT_TRUE(only.allowed_ips.empty());
  EXPECT_EQ(only.persistent_keepalive, 0U);
  EXPECT_EQ(only.endpoint_name, (EndpointName{"vpn.example.org", 51820}));
  EXPECT_FALSE(only.endpoint);
  EXPECT_FALSE(file.mtu);
  EXPECT_TRUE(parse(interface).device.peers.empty());
}

TEST(ConfigFile, TheLastEndpointCounts) {
  auto file = parse(peer + "Endpoint = h:1\nEndpoint = 10.0.0.1:2\n");
  EXPECT_FALSE(file.device.peers[0].endpoint_name);
  EXPECT_TRUE(file.device.peers[0].endpoint);
  file = parse(peer + "Endpoint = 10.0.0.1:2\nEndpoint = h:1\n");
  EXPECT_TRUE(file.device.peers[0].endpoint_name);
  EXPECT_FALSE(file.device.peers[0].endpoint);
}

TEST(ConfigFile, RefusesWhatIsWgQuicksByName) {
  for (const std::string key :
       {"DNS", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig", "postup"}) {
    const auto message = mistake(interface + key + " = x\n");
    EXPECT_THAT(message, HasSubstr("wg0.conf:3: " + key + ": ")) << key;
    EXPECT_THAT(message, HasSubstr("wg-quick up")) << key;
  }
}

TEST(ConfigFile, NamesFileLineAndKeyOfEachMistake) {
  EXPECT_EQ(mistake(""), "wg0.conf: there is no [Interface] section");
  EXPECT_THAT(mistake("[Interface]\n"), HasSubstr("wg0.conf:1: [Interface] has no PrivateKey"));
  EXPECT_THAT(mistake("PrivateKey = x\n" + interface), HasSubstr("wg0.conf:1: "));
  EXPECT_THAT(mistake(interface + interface), HasSubstr("wg0.conf:3: a second [Interface]"));
  EXPECT_THAT(mistake(interface + "[Peers]\nAllowedIPs = x\n"),
              ::testing::AllOf(HasSubstr("wg0.conf:3: no such section"), Not(HasSubstr(":4:"))));
  EXPECT_THAT(mistake(interface + "[Peer]\n[Peer]\nPublicKey = " + public_key),
              HasSubstr("wg0.conf:3: [Peer] has no PublicKey"));
  EXPECT_THAT(mistake(peer + "[Peer]\n"), HasSubstr("wg0.conf:5: [Peer] has no PublicKey"));
  EXPECT_THAT(mistake(interface + "PublicKey = x\n"),
              HasSubstr("wg0.conf:3: PublicKey: no key of [Interface]: those are PrivateKey"));
  EXPECT_THAT(mistake(peer + "MTU = 1\n"), HasSubstr("wg0.conf:5: MTU: no key of [Peer]"));
  EXPECT_THAT(mistake(interface + "ListenPort\n"), HasSubstr("wg0.conf:3: there is no \"=\""));

  const auto both = mistake(interface + "ListenPort = x\nMTU = y\n");
  EXPECT_THAT(both, HasSubstr("wg0.conf:3: ListenPort: not a number from 0 to 65535"));
  EXPECT_THAT(both, HasSubstr("\nwg0.conf:4: MTU: "));
}

TEST(ConfigFile, ChecksValues) {
  for (const std::string line :
       {"ListenPort = 65536", "ListenPort = -1", "ListenPort = 0x1", "ListenPort =", "FwMark = 0x",
        "FwMark = 0x1ffffffff", "FwMark = on", "MTU = 575", "MTU = 65536", "Address = 10.0.0.0/33",
        "Address = 10.0.0.1,", "Address = ,10.0.0.1", "Address = fd00::/129", "PrivateKey = x"})
    EXPECT_THAT(mistake(interface + line), HasSubstr("wg0.conf:3: ")) << line;
  for (const std::string line :
       {"PublicKey = x", "PresharedKey = x", "AllowedIPs = x", "AllowedIPs = 10.0.0.0/8 10.0.0.0/9",
        "PersistentKeepalive = 65536", "PersistentKeepalive = on", "Endpoint = h", "Endpoint = h:",
        "Endpoint = h:65536", "Endpoint = :1", "Endpoint = ::1:5", "Endpoint = [::1]",
        "Endpoint = 300.1.1.1:5", "Endpoint = a b:5", "Endpoint = [fe80::1%eth0]:5"})
    EXPECT_THAT(mistake(peer + line), HasSubstr("wg0.conf:5: ")) << line;
}

TEST(ConfigFile, ShowsNoKeyInAnyMessage) {
  const auto secret = private_key.substr(0, 20);
  const std::vector<std::string> texts = {interface + private_key + "\n",
                                          interface + private_key + "x\n",
                                          interface + "ListenPort = " + private_key,
                                          interface + "Address = " + private_key,
                                          interface + "PrivateKey = " + private_key + "x",
                                          "[" + private_key + "]\n",
                                          peer + "Endpoint = " + private_key,
                                          peer + "AllowedIPs = " + private_key};
  for (const auto& text : texts) EXPECT_THAT(mistake(text), Not(HasSubstr(secret))) << text;
}

TEST(ConfigFile, DoesNotDrownInMistakes) {
  std::string text = interface;
  for (int i = 0; i < 1000; ++i) text += "nonsense\n";
  const auto message = mistake(text);
  EXPECT_EQ(std::ranges::count(message, '\n'), 19);
}

}  // namespace
}  // namespace warren::wireguard
