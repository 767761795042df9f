// What is kept in bpffs, and that nothing of it stays behind.
#include "carrier/bpf_pins.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "carrier/bpf_link.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::carrier {
namespace {

class BpfPinsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces and load programs";
    for (auto* host : {&a_, &b_}) {
      auto made = create_netns();
      ASSERT_TRUE(made) << made.error().message;
      *host = std::move(*made);
    }
  }
  void TearDown() override {
    for (const auto* host : {&a_, &b_})
      for (const auto& carrier : {former_, carrier_})
        if (*host) change(*host, carrier, [](BpfPins& pins) { return pins.remove_all(); });
  }

  static void change(const Fd& host, const std::string& carrier,
                     const std::function<Result<>(BpfPins&)>& action) {
    const auto scope = NetnsScope::enter(host.get());
    auto pins = BpfPins::open(carrier, BpfPins::Access::change);
    ASSERT_TRUE(pins) << pins.error().message;
    const auto done = action(*pins);
    EXPECT_TRUE(done) << done.error().message;
  }
  static std::filesystem::path directory(const Fd& host, const std::string& carrier) {
    const auto scope = NetnsScope::enter(host.get());
    return BpfPins::open(carrier, BpfPins::Access::read)->directory();
  }
  static Result<> pin_map(BpfPins& pins) {
    const Fd map(::bpf_map_create(BPF_MAP_TYPE_ARRAY, "pinned", 4, 4, 1, nullptr));
    if (!map) return fail_errno("make a map");
    return pins.pin("map-pinned", map.get());
  }
  /// To the loopback device.
  static Result<> pin_link(BpfPins& pins) {
    constexpr std::array<bpf_insn, 2> pass = {
        {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS},
         {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
    const Fd program(
        ::bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass.data(), pass.size(), nullptr));
    if (!program) return fail_errno("load a program");
    const auto link = link_generic_xdp(program.get(), *netlink::Socket::open()->index("lo"));
    if (!link) return tl::unexpected(link.error());
    return pins.pin("link-xdp-1", link->get());
  }

  Fd a_, b_;
  std::string former_ = fmt::format("test-{}-v1", ::getpid());
  std::string carrier_ = fmt::format("test-{}-v2", ::getpid());
};

TEST_F(BpfPinsTest, TheLastNamespaceRemovesTheDirectoryOfAll) {
  change(a_, carrier_, pin_map);
  change(b_, carrier_, pin_map);
  change(a_, carrier_, [](BpfPins& pins) { return pins.remove_all(); });
  EXPECT_FALSE(exists(directory(a_, carrier_)));
  EXPECT_TRUE(exists(directory(b_, carrier_)));
  change(b_, carrier_, [](BpfPins& pins) { return pins.remove_all(); });
  EXPECT_FALSE(exists(directory(b_, carrier_).parent_path()));
}

TEST_F(BpfPinsTest, WhatAFormerVersionLeftGoesWithItsNamespace) {
  change(a_, former_, pin_link);
  const auto open = [&] { change(b_, carrier_, [](BpfPins&) { return Result<>{}; }); };
  open();
  EXPECT_TRUE(exists(directory(a_, former_))) << "the namespace is there";
  const auto left = directory(a_, former_);
  a_ = Fd{};
  // The kernel takes a namespace down some time after its last reference.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (exists(left) && std::chrono::steady_clock::now() < deadline) {
    open();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_FALSE(exists(left));
  EXPECT_FALSE(exists(left.parent_path()));
}

TEST_F(BpfPinsTest, NobodyRemovesADirectoryThatAnotherIsAboutToUse) {
  const auto come_and_go = [&](const Fd& host) {
    for (int i = 0; i < 200 && !HasFailure(); ++i) {
      change(host, carrier_, pin_map);
      change(host, carrier_, [](BpfPins& pins) { return pins.remove_all(); });
    }
  };
  std::thread other([&] { come_and_go(a_); });
  come_and_go(b_);
  other.join();
  EXPECT_FALSE(exists(directory(b_, carrier_).parent_path()));
}

}  // namespace
}  // namespace warren::carrier
