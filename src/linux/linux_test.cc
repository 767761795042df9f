// Namespaces, links, addresses and features, in namespaces without names that vanish with the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/change_watch.h"
#include "linux/ethtool.h"
#include "linux/netlink.h"
#include "linux/netlink_events.h"
#include "linux/netns.h"

namespace warren {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

ino_t netns_id(int fd) {
  struct stat status{};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}
ino_t current_netns() { return netns_id(open_netns("")->get()); }

class LinuxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    auto left = create_netns();
    ASSERT_TRUE(left) << left.error().message;
    left_ = std::move(*left);
    right_ = std::move(*create_netns());
    socket_.emplace(std::move(*netlink::Socket::open(left_.get())));
  }

  void make_pair() {
    auto made = socket_->create_veth(
        {.name = "a", .peer_name = "b", .peer_netns = right_.get(), .mtu = 1400});
    ASSERT_TRUE(made) << made.error().message;
  }
  template <class T>
  static void expect_error(const Result<T>& result, int code, const std::string& text) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(text));
  }

  Fd left_, right_;
  std::optional<netlink::Socket> socket_;
};

TEST_F(LinuxTest, ScopeGoesInAndComesBack) {
  const auto home = current_netns();
  EXPECT_NE(home, netns_id(left_.get()));
  {
    auto scope = NetnsScope::enter(left_.get());
    ASSERT_TRUE(scope);
    EXPECT_EQ(current_netns(), netns_id(left_.get()));
  }
  EXPECT_EQ(current_netns(), home);
}

TEST_F(LinuxTest, UnknownNamespaceIsNamed) {
  expect_error(open_netns("no-such-one"), ENOENT, "ip netns add no-such-one");
  expect_error(open_netns("/no/such/path"), ENOENT, "/no/such/path");
  expect_error(NetnsScope::enter(std::string_view("/dev/null")), EINVAL, "/dev/null");
}

TEST_F(LinuxTest, MakesAVethPairAcrossNamespaces) {
  make_pair();
  const auto a = socket_->link("a");
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->kind, "veth");
  EXPECT_EQ(a->mtu, 1400U);
  EXPECT_FALSE(a->up);
  auto right = std::move(*netlink::Socket::open(right_.get()));
  EXPECT_TRUE(right.link("b"));
  expect_error(socket_->link("b"), ENODEV, "find network device b");

  ASSERT_TRUE(socket_->set_up("a", true));
  ASSERT_TRUE(right.set_up("b", true));
  EXPECT_TRUE(socket_->link("a")->up);
  ASSERT_TRUE(socket_->delete_link("a"));
  expect_error(right.link("b"), ENODEV, "b");
}

TEST_F(LinuxTest, ChangesALink) {
  make_pair();
  ASSERT_TRUE(socket_->set_mtu("a", 9000));
  ASSERT_TRUE(socket_->set_tx_queue_length("a", 123));
  const auto mac = *MacAddress::parse("02:00:00:00:00:07");
  ASSERT_TRUE(socket_->set_mac("a", mac));
  ASSERT_TRUE(socket_->rename_link("a", "a2"));
  const auto link = *socket_->link("a2");
  EXPECT_EQ(link.mtu, 9000U);
  EXPECT_EQ(link.tx_queue_length, 123U);
  EXPECT_EQ(link.mac, mac);

  const auto links = *socket_->links();
  EXPECT_EQ(links.size(), 2U);  // lo and a2
  ASSERT_TRUE(socket_->move_link("a2", right_.get(), "a3"));
  EXPECT_TRUE(std::move(*netlink::Socket::open(right_.get())).link("a3"));
}

TEST_F(LinuxTest, AddsAndRemovesAddressesAndRoutes) {
  make_pair();
  ASSERT_TRUE(socket_->set_up("a", true));
  for (const char* text : {"10.0.1.1/24", "fd00::1/64"}) {
    const auto address = *IpPrefix::parse(text);
    auto done = socket_->add_address("a", address);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(*socket_->addresses("a"), Contains(address));
    expect_error(socket_->add_address("a", address), EEXIST, text);
  }
  for (const auto& route :
       {Route{*IpPrefix::parse("10.9.0.0/16"), *IpAddress::parse("10.0.1.2"), std::nullopt},
        Route{*IpPrefix::parse("10.8.0.0/16"), std::nullopt, 50U},
        Route{*IpPrefix::parse("fd09::/32"), *IpAddress::parse("fd00::2"), 7U},
        Route{*IpPrefix::parse("0.0.0.0/0"), *IpAddress::parse("10.0.1.2"), std::nullopt}}) {
    auto done = socket_->add_route("a", route);
    ASSERT_TRUE(done) << done.error().message;
    expect_error(socket_->add_route("a", route), EEXIST, route.destination.to_string());
    ASSERT_TRUE(socket_->remove_route("a", route));
    expect_error(socket_->remove_route("a", route), ESRCH, "remove route");
  }
  ASSERT_TRUE(socket_->remove_address("a", *IpPrefix::parse("10.0.1.1/24")));
  EXPECT_THAT(*socket_->addresses("a"), ::testing::Not(Contains(*IpPrefix::parse("10.0.1.1/24"))));
}

TEST_F(LinuxTest, FindsTheDeviceOfARoute) {
  make_pair();
  ASSERT_TRUE(socket_->set_up("a", true));
  ASSERT_TRUE(socket_->add_address("a", *IpPrefix::parse("10.0.1.1/24")));
  ASSERT_TRUE(socket_->add_address("a", *IpPrefix::parse("fd00::1/64")));
  EXPECT_TRUE(socket_->default_route_devices()->empty());
  expect_error(socket_->route_to(*IpAddress::parse("192.0.2.1")), ENETUNREACH, "192.0.2.1");
  auto right = std::move(*netlink::Socket::open(right_.get()));
  ASSERT_TRUE(right.set_up("b", true));
  for (const auto& [network, gateway] :
       {std::pair{"0.0.0.0/0", "10.0.1.2"}, std::pair{"::/0", "fd00::2"}}) {
    auto done = socket_->add_route(
        "a", {*IpPrefix::parse(network), *IpAddress::parse(gateway), std::nullopt});
    ASSERT_TRUE(done) << done.error().message;
  }
  const auto a = *socket_->index("a");
  EXPECT_THAT(*socket_->default_route_devices(), ::testing::ElementsAre(a));
  const auto far = socket_->route_to(*IpAddress::parse("192.0.2.1"));
  ASSERT_TRUE(far) << far.error().message;
  EXPECT_EQ(far->device, a);
  EXPECT_EQ(far->source, *IpAddress::parse("10.0.1.1"));
  EXPECT_EQ(far->gateway, *IpAddress::parse("10.0.1.2"));
  const auto near = socket_->route_to(*IpAddress::parse("fd00::7"));
  ASSERT_TRUE(near) << near.error().message;
  EXPECT_EQ(near->source, *IpAddress::parse("fd00::1"));
  EXPECT_FALSE(near->gateway);
}

TEST_F(LinuxTest, MakesAMacvlanThatDoesNotSegment) {
  make_pair();
  auto made = socket_->create_macvlan(
      {.name = "m", .lower = "a", .mtu = 1400, .gso_max_segments = 1, .gso_max_size = 2000});
  ASSERT_TRUE(made) << made.error().message;
  const auto link = *socket_->link("m");
  EXPECT_EQ(link.kind, "macvlan");
  EXPECT_EQ(link.type, 1);  // Ethernet
  EXPECT_EQ(socket_->link(link.index)->name, "m");
  auto quiet = socket_->set_no_ipv6_address("m");
  ASSERT_TRUE(quiet) << quiet.error().message;
  auto right = std::move(*netlink::Socket::open(right_.get()));
  for (auto [where, name] : {std::pair{&*socket_, "a"}, {&right, "b"}, {&*socket_, "m"}})
    ASSERT_TRUE(where->set_up(name, true));
  EXPECT_TRUE(socket_->addresses("m")->empty());
  expect_error(socket_->create_macvlan({.name = "n", .lower = "nope"}), ENODEV, "over nope");
}

TEST_F(LinuxTest, NoticesChanges) {
  make_pair();
  std::optional<netlink::Events> events;
  {
    auto scope = NetnsScope::enter(left_.get());
    auto opened = netlink::Events::open();
    ASSERT_TRUE(opened) << opened.error().message;
    events.emplace(std::move(*opened));
  }
  pollfd readable{events->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  ASSERT_TRUE(socket_->delete_link("a"));
  EXPECT_EQ(::poll(&readable, 1, 5000), 1);
  events->clear();
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
}

TEST_F(LinuxTest, CallsOnceForABurstAndIsNotPutOff) {
  make_pair();
  const auto loop = *Loop::create();
  std::vector<Clock::time_point> calls;
  ChangeWatch watch(*loop, [&] {
    calls.push_back(loop->now());
    loop->stop();
  });
  {
    auto scope = NetnsScope::enter(left_.get());
    ASSERT_TRUE(watch.start(netlink::Events::Of::links));
  }
  std::uint32_t mtu = 1400;
  const auto change = [&] { EXPECT_TRUE(socket_->set_mtu("a", ++mtu)); };
  for (int i = 0; i < 3; ++i) change();
  ASSERT_TRUE(loop->run());
  ASSERT_EQ(calls.size(), 1U);
  // Neither a rest of the burst nor another change makes it earlier.
  constexpr auto pause = std::chrono::milliseconds(200);
  watch.call_after(pause);
  change();
  ASSERT_TRUE(loop->run());
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_GE(calls[1], calls[0] + pause);
  // Changes without end.
  bool endless = false;
  Timer changing(*loop, [&] {
    change();
    changing.set(loop->now() + std::chrono::milliseconds(1));
  });
  Timer limit(*loop, [&] {
    endless = true;
    loop->stop();
  });
  changing.set(loop->now());
  limit.set(loop->now() + std::chrono::seconds(10));
  ASSERT_TRUE(loop->run());
  EXPECT_FALSE(endless);
}

TEST_F(LinuxTest, ExplainsWhatTheKernelRefuses) {
  make_pair();
  expect_error(socket_->create_veth({.name = "a", .peer_name = "c"}), EEXIST,
               "make veth pair a - c");
  expect_error(socket_->create_veth({.name = "a-name-of-sixteen", .peer_name = "c"}), ENAMETOOLONG,
               "at most 15");
  expect_error(socket_->set_mtu("a", 70000), EINVAL, "mtu greater than device maximum");
  expect_error(socket_->set_mtu("nope", 1500), ENODEV, "set the MTU of nope");
  expect_error(
      socket_->add_route("a", {*IpPrefix::parse("10.9.0.0/16"), *IpAddress::parse("fd00::1"), {}}),
      EINVAL, "address family");
  expect_error(socket_->add_route("a", {*IpPrefix::parse("10.9.0.1/16"), {}, {}}), EINVAL,
               "Invalid prefix");
}

TEST_F(LinuxTest, SwitchesOffloads) {
  make_pair();
  auto scope = NetnsScope::enter(left_.get());
  ASSERT_TRUE(scope);
  using ethtool::Feature;
  for (const auto& [feature, name] :
       {std::pair{Feature::tx_checksum, "tx-checksum-ip-generic"},
        {Feature::tso, "tx-tcp-segmentation"},
        {Feature::gso, "tx-generic-segmentation"},
        {Feature::gro, "rx-gro"},
        {Feature::tx_udp_segmentation, "tx-udp-segmentation"},
        {Feature::tx_tunnel_segmentation, "tx-udp_tnl-segmentation"}}) {
    for (const bool on : {false, true}) {
      auto done = ethtool::set("a", feature, on);
      ASSERT_TRUE(done) << done.error().message;
      EXPECT_EQ(ethtool::features("a")->at(name), on) << name;
    }
  }
  expect_error(ethtool::set("nope", Feature::gro, true), ENODEV, "nope");
}

}  // namespace
}  // namespace warren
