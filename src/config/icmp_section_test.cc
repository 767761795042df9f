#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "carrier/icmp_node.h"
#include "config/network_file.h"

namespace warren::config {
namespace {

using carrier::IcmpNodeSettings;
using ::testing::HasSubstr;

IcmpNodeSettings read(const std::string& text) {
  const auto spec = parse_network(text, "f.toml");
  EXPECT_TRUE(spec) << spec.error().message;
  if (!spec || spec->nodes.size() != 1) return {};
  return static_cast<const carrier::IcmpNodeConfig&>(*spec->nodes.front().config).settings();
}

void expect_error(const std::string& text, const std::string& what) {
  const auto spec = parse_network(text, "f.toml");
  ASSERT_FALSE(spec) << text;
  EXPECT_THAT(spec.error().message, HasSubstr(what));
}

TEST(IcmpSection, ReadsAServer) {
  const auto settings = read(
      "[icmp.alice]\nrole = \"serve\"\nport = 51820\ntag = \"3fa2\"\nfrom = \"203.0.113.0/24\"\n"
      "first = \"any\"\nmax_age = \"2min\"\ndev = [\"eth0\", \"eth1\"]\nchecksum = "
      "\"balance\"\nxdp = \"auto\"\n");
  const auto& user = std::get<std::vector<carrier::IcmpUser>>(settings.role).front();
  EXPECT_EQ(user.name, "alice");
  EXPECT_EQ(user.port, 51820);
  EXPECT_EQ(user.tag, carrier::Tag{0x3fa2});
  EXPECT_EQ(user.from, *IpPrefix::parse("203.0.113.0/24"));
  EXPECT_TRUE(user.any_first);
  EXPECT_EQ(user.max_age_seconds, 120U);
  EXPECT_EQ(settings.devices, (std::vector<std::string>{"eth0", "eth1"}));
  EXPECT_EQ(settings.options.checksum, carrier::ChecksumMode::balance);
  EXPECT_EQ(settings.options.xdp, true);
}

TEST(IcmpSection, ReadsAClient) {
  const auto settings = read(
      "[icmp.home]\nrole = \"connect\"\nticket = \"warren-icmp:alice@vpn.example.org:51820/3fa2\"\n"
      "lookup = \"30s\"\n");
  const auto& target = std::get<carrier::IcmpTarget>(settings.role);
  EXPECT_EQ(target.ticket.to_string(), "warren-icmp:alice@vpn.example.org:51820/3fa2");
  EXPECT_EQ(target.lookup_interval, std::chrono::seconds(30));
  EXPECT_TRUE(settings.devices.empty());
  EXPECT_EQ(settings.options, carrier::IcmpDeviceOptions{});
  const auto other = read(
      "[icmp.home]\nrole = \"connect\"\nserver = \"[2001:db8::7]:443\"\nprofile = \"tutu\"\nuid = "
      "7\n");
  EXPECT_EQ(std::get<carrier::IcmpTarget>(other.role).ticket.to_string(),
            "warren-icmp:[2001:db8::7]:443/uid7");
}

TEST(IcmpSection, SaysWhatIsWrong) {
  expect_error("[icmp.a]\nport = 1\n", "role is missing");
  expect_error("[icmp.a]\nrole = \"both\"\n", "\"serve\" or \"connect\"");
  expect_error("[icmp.a]\nrole = \"serve\"\ntag = \"1\"\n", "port = 51820");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 65536\ntag = \"1\"\n", "f.toml:3:8");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 1\n", "a tag is missing");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 1\ntag = \"ffff\"\n", "not usable");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 1\ntag = \"1\"\nuid = 7\n", "uid belongs to");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 1\nprofile = \"tutu\"\n", "needs uid");
  expect_error("[icmp.a]\nrole = \"serve\"\nport = 1\ntag = \"1\"\nfrom = \"here\"\n", "prefix");
  expect_error("[icmp.a]\nrole = \"connect\"\n", "a client needs ticket");
  expect_error("[icmp.a]\nrole = \"connect\"\nticket = \"x\"\n", "is not a ticket");
  expect_error("[icmp.a]\nrole = \"connect\"\nserver = \"h\"\ntag = \"1\"\n", "has no port");
  expect_error("[icmp.a]\nrole = \"connect\"\nserver = \"h:1\"\ntag = \"1\"\nlookup = \"1ms\"\n",
               "lookup must be");
  expect_error(
      "links = [[\"a\", \"b\"]]\n[icmp.a]\nrole = \"connect\"\nserver = \"h:1\"\ntag = "
      "\"1\"\n[tun.b]\n",
      "has no ports");
}

}  // namespace
}  // namespace warren::config
