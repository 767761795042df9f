// Tables that are full: each says so, and what could not be added leaves nothing half done.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "carrier/icmp_carrier.h"
#include "carrier/icmp_convert.h"
#include "linux/netns.h"

namespace warren::carrier {
namespace {

using ::testing::HasSubstr;

class IcmpTablesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    auto scope = NetnsScope::enter(create_netns()->get());
    ASSERT_TRUE(scope) << scope.error().message;
    scope_.emplace(std::move(*scope));
    // Who opens the carrier to change it keeps others from its pins.
    directory_ = BpfPins::open(fmt::format("icmp-v{}", ICMP_ABI_VERSION), BpfPins::Access::read)
                     ->directory();
    auto carrier = IcmpCarrier::open();
    ASSERT_TRUE(carrier) << carrier.error().message;
    carrier_.emplace(std::move(*carrier));
  }
  void TearDown() override {
    if (!carrier_) return;
    EXPECT_TRUE(carrier_->remove_everything());
  }
  [[nodiscard]] Fd map(const std::string& name) const {
    Fd fd(::bpf_obj_get((directory_ + "/map-" + name).c_str()));
    EXPECT_TRUE(fd) << name;
    return fd;
  }
  template <class Key, class Value>
  static bool put(const Fd& map, const Key& key, const Value& value) {
    return ::bpf_map_update_elem(map.get(), &key, &value, BPF_ANY) == 0;
  }
  [[nodiscard]] bool is_served(std::uint16_t port) const {
    icmp_ports ports{};
    const std::uint32_t word = port / 64U;
    EXPECT_EQ(::bpf_map_lookup_elem(map("ports").get(), &word, &ports), 0);
    return (ports.served >> port % 64U & 1) != 0;
  }

  std::optional<NetnsScope> scope_;
  std::string directory_;
  std::optional<IcmpCarrier> carrier_;
};

TEST_F(IcmpTablesTest, NoMoreUsers) {
  const auto users = map("users");
  icmp_user user{};
  user.port = htons(5000);
  for (unsigned tag = 1; tag < 0xfffe; ++tag)
    ASSERT_TRUE(put(users, key_of({.value = static_cast<std::uint16_t>(tag)}), user));
  EXPECT_EQ(carrier_->free_tag()->value, 0xfffe) << "it is the last one";
  ASSERT_TRUE(carrier_->add_user({.name = "last", .tag = {0xfffe}, .port = 5000}));
  const auto tag = carrier_->free_tag();
  ASSERT_FALSE(tag);
  EXPECT_THAT(tag.error().message, HasSubstr("every tag is taken"));
  // Users of the other profile have tags of their own, but the table has an end.
  Result<> done;
  std::uint16_t uid = 0;
  for (; done && uid < 256; ++uid)
    done = carrier_->add_user({.name = "dave", .tag = {uid, Profile::tutu}, .port = 5000});
  ASSERT_FALSE(done);
  EXPECT_EQ(uid, 65536 - 65534 + 1);
  const Tag one_more{200, Profile::tutu};
  done = carrier_->add_user({.name = "erin", .tag = one_more, .port = 6000});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("serve erin: the table of users is full (65536)"));
  EXPECT_FALSE(is_served(6000)) << "its port stays open";
  EXPECT_TRUE(is_served(5000));
}

TEST_F(IcmpTablesTest, NoMoreServers) {
  const auto servers = map("servers");
  for (std::uint32_t n = 0; n < 65536; ++n)
    ASSERT_TRUE(
        put(servers, icmp_server_key{{{0, 0, htonl(0xffff), n}}, htons(5000), 0}, icmp_server{}));
  const IcmpServer server{.address = *IpAddress::parse("fd00::1"), .port = 5000, .tag = {7}};
  const auto done = carrier_->add_server(server);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message,
              HasSubstr("carry UDP to [fd00::1]:5000: the table of servers is full (65536)"));
  icmp_reply reply{};
  const auto key = reply_key_of(server);
  EXPECT_NE(::bpf_map_lookup_elem(map("replies").get(), &key, &reply), 0) << "a way back is left";
}

TEST_F(IcmpTablesTest, NoMoreDevices) {
  auto socket = std::move(*netlink::Socket::open());
  ASSERT_TRUE(socket.create_veth({.name = "a", .peer_name = "b"}));
  const auto devices = map("devices");
  for (std::uint32_t slot = 0; slot < ICMP_DEVICES; ++slot) {
    icmp_device other{};
    other.ifindex = 1'000'000 + slot;
    other.exit = 1;  // not one that could be forgotten
    ASSERT_TRUE(put(devices, slot, other));
  }
  const auto done =
      carrier_->with_devices({"a"}, {}, [] { return fail("it must not come to this"); });
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message,
              HasSubstr("attach the carrier to a: the table of interfaces has no place"));
  std::vector<std::string> names;
  const auto links = socket.links();
  ASSERT_TRUE(links);
  for (const auto& link : *links) names.push_back(link.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("lo", "a", "b")) << "a detour is left";
}

}  // namespace
}  // namespace warren::carrier
