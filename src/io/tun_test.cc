// TUN and TAP devices, in namespaces without names that vanish with the test.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <warren/tun.h>

#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class TunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    netns_ = std::move(*create_netns());
    path_ = "/proc/self/fd/" + std::to_string(netns_.get());
  }
  TunConfig config(const std::string& name) const {
    TunConfig config;
    config.name = name;
    config.netns = path_;
    return config;
  }
  netlink::Socket socket() const { return std::move(*netlink::Socket::open(netns_.get())); }
  static void expect_error(const Result<Tun>& result, int code, const std::string& text) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(text));
  }

  Fd netns_;
  std::string path_;
};

TEST_F(TunTest, AppliesTheWholeConfiguration) {
  auto wanted = config("tun0");
  wanted.addresses = {*IpPrefix::parse("10.0.1.1/24"), *IpPrefix::parse("fd00::1/64")};
  wanted.mtu = 9000;
  wanted.tx_queue_length = 77;
  wanted.owner = 1234;
  wanted.group = 1235;
  wanted.offload = true;
  wanted.routes = {{*IpPrefix::parse("10.7.0.0/16"), *IpAddress::parse("10.0.1.2"), {}}};
  const auto tun = Tun::open(wanted);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_EQ(tun->name(), "tun0");
  EXPECT_EQ(*tun->mtu(), 9000U);
  EXPECT_TRUE(tun->offloads().header);
  EXPECT_TRUE(tun->offloads().checksum);
  EXPECT_TRUE(tun->offloads().tso4);
  for (const auto& address : wanted.addresses) EXPECT_THAT(*tun->addresses(), Contains(address));
  EXPECT_NE(::fcntl(tun->fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(tun->fd(), F_GETFD) & FD_CLOEXEC, 0);
  const auto link = *socket().link("tun0");
  EXPECT_TRUE(link.up);
  EXPECT_EQ(link.tx_queue_length, 77U);
  // The route is there: to add it again is refused by the kernel, and fine for Tun.
  EXPECT_FALSE(socket().add_route("tun0", wanted.routes[0]));
}

TEST_F(TunTest, ChangesWhatRuns) {
  auto tun = std::move(*Tun::open(config("tun0")));
  ASSERT_TRUE(tun.set_mtu(1400));
  EXPECT_EQ(*tun.mtu(), 1400U);
  const auto address = *IpPrefix::parse("10.0.1.1/24");
  ASSERT_TRUE(tun.add_address(address));
  const Route route{*IpPrefix::parse("10.7.0.0/16"), {}, {}};
  ASSERT_TRUE(tun.add_route(route));
  ASSERT_TRUE(tun.add_route(route));
  ASSERT_TRUE(tun.remove_route(route));
  ASSERT_TRUE(tun.remove_address(address));
  EXPECT_THAT(*tun.addresses(), ::testing::Not(Contains(address)));
  ASSERT_TRUE(tun.set_up(false));
  EXPECT_FALSE(socket().link("tun0")->up);
}

TEST_F(TunTest, IsConfiguredWhereItWasMovedTo) {
  auto tun = std::move(*Tun::open(config("tun0")));
  const auto elsewhere = std::move(*create_netns());
  ASSERT_TRUE(socket().move_link("tun0", elsewhere.get(), "renamed"));
  EXPECT_EQ(tun.name(), "renamed");
  ASSERT_TRUE(tun.set_mtu(1300));
  EXPECT_EQ(std::move(*netlink::Socket::open(elsewhere.get())).link("renamed")->mtu, 1300U);
}

TEST_F(TunTest, TheKernelChoosesAName) {
  const auto tun = Tun::open(config("vpn%d"));
  ASSERT_TRUE(tun);
  EXPECT_EQ(tun->name(), "vpn0");
  const auto any = Tun::open(config(""));
  ASSERT_TRUE(any);
  EXPECT_EQ(any->name(), "tun0");
}

TEST_F(TunTest, OpensSeveralQueues) {
  auto wanted = config("multi");
  wanted.queues = 3;
  const auto tun = Tun::open(wanted);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_EQ(tun->queue_count(), 3U);
}

TEST_F(TunTest, ATapHasAMacAddress) {
  auto wanted = config("tap0");
  wanted.mode = TunMode::tap;
  wanted.mac = *MacAddress::parse("02:00:00:00:00:09");
  const auto tap = Tun::open(wanted);
  ASSERT_TRUE(tap) << tap.error().message;
  EXPECT_EQ(socket().link("tap0")->mac, *wanted.mac);
  wanted.name = "tun9";
  wanted.mode = TunMode::tun;
  expect_error(Tun::open(wanted), EINVAL, "only a TAP device");
}

TEST_F(TunTest, PersistsOnlyWhenAsked) {
  {
    const auto tun = Tun::open(config("brief"));
  }
  EXPECT_FALSE(socket().link("brief"));
  auto wanted = config("stays");
  wanted.persist = true;
  wanted.addresses = {*IpPrefix::parse("10.0.1.1/24")};
  {
    const auto tun = Tun::open(wanted);
  }
  EXPECT_TRUE(socket().link("stays"));
  auto again = Tun::open(wanted);  // attaches; the address is there already
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(again->set_persist(false));
}

TEST_F(TunTest, AdoptsADescriptor) {
  Fd fd;
  {
    const auto scope = NetnsScope::enter(netns_.get());
    fd = Fd{::open("/dev/net/tun", O_RDWR)};
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    ASSERT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
  }
  auto tun = Tun::adopt(std::move(fd), true);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_EQ(tun->name(), "tap0");
  EXPECT_EQ(tun->mode(), TunMode::tap);
  EXPECT_TRUE(tun->offloads().tso4);
  EXPECT_TRUE(tun->set_up(true));
  expect_error(Tun::adopt(Fd{::open("/dev/null", O_RDWR)}, false), ENOTTY, "TUN device");
}

TEST_F(TunTest, BadNamesAreExplained) {
  expect_error(Tun::open(config("sixteen-bytes-xx")), ENAMETOOLONG, "at most 15");
  expect_error(Tun::open(config("a/b")), EINVAL, "a/b");
  const auto holder = Tun::open(config("taken"));
  ASSERT_TRUE(holder);
  expect_error(Tun::open(config("taken")), EBUSY, "another program has the device open");
  expect_error(Tun::open(config("lo")), EINVAL, "device of another kind");
  auto lost = config("tun5");
  lost.netns = "no-such-namespace";
  expect_error(Tun::open(lost), ENOENT, "no-such-namespace");
}

TEST_F(TunTest, AFailureLeavesNothingBehind) {
  auto wanted = config("half");
  wanted.persist = true;
  wanted.mtu = 70000;
  const auto failed = Tun::open(wanted);
  expect_error(failed, EINVAL, "set the MTU of half to 70000");
  EXPECT_FALSE(socket().link("half"));
}

TEST_F(TunTest, WithoutPrivilegesItSaysWhatToDo) {
  const auto scope = NetnsScope::enter(netns_.get());
  ASSERT_EQ(::seteuid(65534), 0);
  auto wanted = config("tun0");
  wanted.netns.clear();
  const auto failed = Tun::open(wanted);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("CAP_NET_ADMIN"));
}

}  // namespace
}  // namespace warren
