#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "config/network_file.h"
#include "tunnel/wireguard_node.h"

namespace warren::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using tunnel::WireguardSettings;

constexpr const char* key_a = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
constexpr const char* key_b = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
constexpr const char* key_c = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

/// A folder with a network file, and key files beside it.
class WireguardSectionTest : public ::testing::Test {
 protected:
  WireguardSectionTest() {
    std::string name = std::filesystem::temp_directory_path() / "section.XXXXXX";
    folder_ = ::mkdtemp(name.data());
    write("wg.key", key_a);
    write("psk", key_c);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text, ::mode_t mode = 0600) {
    const auto path = folder_ / name;
    std::ofstream(path) << text << '\n';
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  Result<GraphSpec> parse(const std::string& text) {
    return parse_network(text, (folder_ / "f.toml").string());
  }
  WireguardSettings read(const std::string& text) {
    const auto spec = parse(text);
    EXPECT_TRUE(spec) << spec.error().message;
    if (!spec || spec->nodes.size() != 1) return {};
    return static_cast<const tunnel::WireguardNodeConfig&>(*spec->nodes.front().config).settings();
  }
  void expect_error(const std::string& text, const std::string& what) {
    const auto spec = parse(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_THAT(spec.error().message, HasSubstr(what));
    EXPECT_THAT(spec.error().message, Not(HasSubstr(key_a)));
    EXPECT_THAT(spec.error().message, Not(HasSubstr(key_c)));
  }
  static void expect_secrets_in_files_only(const WireguardSettings& settings) {
    EXPECT_FALSE(settings.device.private_key);
    EXPECT_FALSE(settings.device.peers.front().preshared_key);
    const auto secrets = tunnel::read_secrets(settings);
    ASSERT_TRUE(secrets) << secrets.error().message;
    EXPECT_TRUE(secrets->private_key);
    EXPECT_FALSE(secrets->peers.front().preshared_key->is_zero());
  }
  /// A section with a key and one peer, of which `peer` says more.
  static std::string section(const std::string& interface, const std::string& peer) {
    return "[wireguard.wg0]\nprivate-key-file = \"wg.key\"\n" + interface +
           "[[wireguard.wg0.peer]]\npublic-key = \"" + key_b + "\"\n" + peer;
  }

  std::filesystem::path folder_;
};

TEST_F(WireguardSectionTest, ReadsEverything) {
  const auto settings = read(
      section("listen = 51820\naddress = [\"10.7.0.1/24\", \"fd07::1/64\"]\nmtu = 1400\nthreads = "
              "2\nnetns = \"red\"\nfwmark = 0xca6c\n",
              "preshared-key-file = \"psk\"\nendpoint = \"[2001:db8::7]:443\"\nkeepalive = 25\n"
              "allowed-ips = [\"10.7.0.2/32\", \"10.8.3.4/16\"]\n"));
  EXPECT_EQ(settings.tun.name, "wg0");
  EXPECT_EQ(settings.tun.mtu, 1400U);
  EXPECT_EQ(settings.tun.netns, "red");
  EXPECT_EQ(settings.threads, 2U);
  EXPECT_EQ(settings.tun.addresses.size(), 2U);
  EXPECT_EQ(settings.device.listen_port, 51820);
  EXPECT_EQ(settings.device.fwmark, 0xca6cU);
  ASSERT_EQ(settings.device.peers.size(), 1U);
  const auto& peer = settings.device.peers.front();
  EXPECT_EQ(peer.endpoint->to_string(), "[2001:db8::7]:443");
  EXPECT_EQ(peer.persistent_keepalive, 25);
  EXPECT_EQ(peer.allowed_ips.size(), 2U);
  ASSERT_EQ(settings.tun.routes.size(), 2U);
  EXPECT_EQ(settings.tun.routes[1].destination.to_string(), "10.8.0.0/16");
  EXPECT_FALSE(settings.icmp);
}

TEST_F(WireguardSectionTest, KeepsSecretsOutOfTheDescription) {
  const auto settings = read(section("", "preshared-key-file = \"psk\"\n"));
  expect_secrets_in_files_only(settings);
}

TEST_F(WireguardSectionTest, AnotherKeyInTheSameFileIsAnotherDescription) {
  const auto text = section("", "preshared-key-file = \"psk\"\n");
  const auto before = read(text);
  EXPECT_EQ(before, read(text));
  write("psk", key_b);
  const auto after = read(text);
  EXPECT_NE(before, after);
  write("wg.key", key_c);
  EXPECT_NE(after, read(text));
}

TEST_F(WireguardSectionTest, DefaultsAreThoseOfWireguard) {
  const auto settings = read("[wireguard.wg0]\nprivate-key-file = \"wg.key\"\n");
  EXPECT_EQ(settings.tun.mtu, 1420U);
  EXPECT_EQ(settings.device.listen_port, 0);
  EXPECT_EQ(settings.device.fwmark, 0U);
  EXPECT_TRUE(settings.device.peers.empty());
  EXPECT_TRUE(
      read(section("routes = false\n", "allowed-ips = [\"0.0.0.0/0\"]\n")).tun.routes.empty());
}

TEST_F(WireguardSectionTest, ReadsAnExistingFile) {
  write("wg0.conf",
        std::string("[Interface]\nPrivateKey = ") + key_a +
            "\nAddress = 10.7.0.1/24\nListenPort = 51820\nMTU = 1380\n[Peer]\nPublicKey = " +
            key_b + "\nPresharedKey = " + key_c +
            "\nAllowedIPs = 10.7.0.0/24\nEndpoint = vpn.example.org:51820\n");
  const auto settings = read("[wireguard.wg0]\nconfig = \"wg0.conf\"\n");
  EXPECT_EQ(settings.tun.mtu, 1380U);
  EXPECT_EQ(settings.device.listen_port, 51820);
  ASSERT_EQ(settings.device.peers.size(), 1U);
  EXPECT_EQ(settings.device.peers.front().endpoint_name->host, "vpn.example.org");
  expect_secrets_in_files_only(settings);
  EXPECT_EQ(read("[wireguard.wg0]\nconfig = \"wg0.conf\"\nmtu = 1300\n").tun.mtu, 1300U);
}

TEST_F(WireguardSectionTest, RefusesWhatIsWgQuicksAlone) {
  write("wg0.conf",
        std::string("[Interface]\nPrivateKey = ") + key_a + "\nDNS = 1.1.1.1\nPostUp = true\n");
  const std::string text = "[wireguard.wg0]\nconfig = \"wg0.conf\"\n";
  expect_error(text, "wg0.conf:3: DNS: this key is wg-quick's");
  expect_error(text, "wg0.conf:4: PostUp: this key is wg-quick's");
}

TEST_F(WireguardSectionTest, CarriesToServersAndForUsers) {
  const auto client = read(section("carrier = \"icmp\"\ndev = [\"eth0\"]\n",
                                   "ticket = \"warren-icmp:alice@vpn.example.org:51820/3fa2\"\n"));
  ASSERT_TRUE(client.icmp);
  EXPECT_EQ(client.icmp->devices, std::vector<std::string>{"eth0"});
  ASSERT_EQ(client.icmp->servers.size(), 1U);
  EXPECT_EQ(client.device.peers.front().endpoint_name->host, "vpn.example.org");
  const auto by_tag =
      read(section("carrier = \"icmp\"\n", "endpoint = \"[2001:db8::7]:443\"\ntag = \"3fa2\"\n"));
  EXPECT_EQ(by_tag.icmp->servers.front().ticket.to_string(), "warren-icmp:[2001:db8::7]:443/3fa2");
  const auto server =
      read(section("carrier = \"icmp\"\nlisten = 51820\n", "tag = \"3fa2\"\nuser = \"alice\"\n"));
  ASSERT_EQ(server.icmp->users.size(), 1U);
  EXPECT_EQ(server.icmp->users.front().name, "alice");
  EXPECT_EQ(server.icmp->users.front().tag, carrier::Tag{0x3fa2});
}

TEST_F(WireguardSectionTest, AFilesPeersGetTheirTagsFromTheNetworkFile) {
  write("wg0.conf", std::string("[Interface]\nPrivateKey = ") + key_a +
                        "\n[Peer]\nPublicKey = " + key_b + "\nEndpoint = 192.0.2.7:51820\n");
  const std::string text = "[wireguard.wg0]\nconfig = \"wg0.conf\"\ncarrier = \"icmp\"\n";
  expect_error(text, "needs ticket");
  const auto settings =
      read(text + "[[wireguard.wg0.peer]]\npublic-key = \"" + key_b + "\"\ntag = \"0007\"\n");
  EXPECT_EQ(settings.icmp->servers.front().ticket.to_string(), "warren-icmp:192.0.2.7:51820/0007");
  expect_error(text + "[[wireguard.wg0.peer]]\npublic-key = \"" + key_c + "\"\ntag = \"0007\"\n",
               "must be that of one");
}

TEST_F(WireguardSectionTest, SaysWhatIsWrong) {
  expect_error("[wireguard.wg0]\n", "private-key-file is missing");
  expect_error("[wireguard.wg0]\nprivate-key-file = \"absent\"\n", "absent: No such file");
  write("open.key", key_a, 0644);
  expect_error("[wireguard.wg0]\nprivate-key-file = \"open.key\"\n", "chmod 600");
  expect_error("[wireguard.wg0]\nconfig = \"open.key\"\n", "chmod 600");
  write("bad.key", std::string("x") + key_a);
  expect_error("[wireguard.wg0]\nprivate-key-file = \"bad.key\"\n", "f.toml:2:20: ");
  expect_error(section("", "preshared-key-file = \"absent\"\n"), "f.toml:5:22: ");
  expect_error("[wireguard.wg0]\nprivate-key = \"x\"\n", "unknown key \"private-key\"");
  expect_error("[wireguard.a234567890123456]\nprivate-key-file = \"wg.key\"\n", "too long");
  expect_error(section("listen = 65536\n", ""), "listen");
  expect_error(section("mtu = 100\n", ""), "mtu");
  expect_error(section("carrier = \"pigeon\"\n", ""), "\"udp\" or \"icmp\"");
  expect_error(section("dev = [\"eth0\"]\n", ""), "belongs to carrier");
  expect_error(section("", "tag = \"3fa2\"\n"), "belong to carrier");
  expect_error(section("", "endpoint = \"vpn.example.org\"\n"), "no port");
  expect_error(section("", "endpoint = \"300.1.1.1:1\"\n"), "neither a host name");
  expect_error(section("", "allowed-ips = [\"10.0.0.0/33\"]\n"), "f.toml:5:16: ");
  expect_error(section("", "allowed-ips = [\"::/0\"]\n"), "default route");
  expect_error(section("", "keepalive = -1\n"), "keepalive");
  expect_error(section("", std::string("[[wireguard.wg0.peer]]\npublic-key = \"") + key_b + "\"\n"),
               "the peer in line 3 has this key");
  expect_error(section("", "[[wireguard.wg0.peer]]\n"), "needs public-key");
  expect_error(section("", "[[wireguard.wg0.peer]]\npublic-key = \"abc\"\n"), "wg pubkey");
  expect_error("[wireguard.wg0]\nconfig = \"absent.conf\"\nlisten = 1\n",
               "listen comes from the file");
}

TEST_F(WireguardSectionTest, SaysWhatIsWrongWithACarrier) {
  const std::string icmp = "carrier = \"icmp\"\n";
  expect_error(section(icmp, ""), "needs ticket");
  expect_error(section(icmp, "tag = \"3fa2\"\n"), "listen = 51820");
  expect_error(section(icmp, "ticket = \"nonsense\"\n"), "is not a ticket");
  expect_error(
      section(icmp, "ticket = \"warren-icmp:192.0.2.1:1/7\"\nendpoint = \"192.0.2.2:1\"\n"),
      "endpoint says another");
  expect_error(section(icmp, "ticket = \"warren-icmp:192.0.2.1:1/7\"\ntag = \"8\"\n"),
               "one of the two");
  const auto second = std::string("[[wireguard.wg0.peer]]\npublic-key = \"") + key_c + "\"\n";
  expect_error(section(icmp + "listen = 1\n", "tag = \"7\"\n" + second + "tag = \"7\"\n"),
               "same tag 0007");
}

}  // namespace
}  // namespace warren::config
