/// For tests that configure the kernel: a namespace of their own, which vanishes with the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string_view>

#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::testing {

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
inline IpPrefix prefix(std::string_view text) { return IpPrefix::parse(text).value(); }

/// The test's thread is in the namespace, and its loopback device is up.
class NetnsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    netns_ = create_netns().value();
    scope_.emplace(NetnsScope::enter(netns_.get()).value());
    socket_.emplace(netlink::Socket::open().value());
    good(socket_->set_up("lo", true));
  }
  template <class T>
  static void good(const Result<T>& result) {
    ASSERT_TRUE(result) << result.error().message;
  }

  Fd netns_;
  std::optional<NetnsScope> scope_;
  std::optional<netlink::Socket> socket_;
};

}  // namespace warren::testing
