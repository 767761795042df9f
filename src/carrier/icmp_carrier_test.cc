// The carrier as a whole, with real packets between two hosts (namespaces) on one wire, which is
// watched: what leaves in a carried flow is ICMP, and never UDP.
#include "carrier/icmp_carrier.h"

#include <atomic>
#include <filesystem>
#include <thread>

#include "carrier/bpf_link.h"
#include "carrier/carrier_testing.h"
#include "carrier/clsact.h"
#include "carrier/device_table.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(IcmpCarrierTest, CarriesBothWaysBesidePings) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  connect("fd09::2", 0x3fa2, 5000);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("fd09::2", 5000, "fd09::1");
  auto seen = wire_->count();
  EXPECT_EQ(seen[IPPROTO_UDP], 0);
  EXPECT_GE(seen[IPPROTO_ICMP], 2);
  EXPECT_GE(seen[IPPROTO_ICMPV6], 2);
  EXPECT_EQ(shell(client_, "ping -q -c 3 -i 0.01 -w 5 10.9.0.2 >/dev/null"), 0);
  EXPECT_EQ(shell(client_, "ping -q -c 3 -i 0.01 -w 5 fd09::2 >/dev/null"), 0);
  const auto served = state(server_);
  ASSERT_EQ(served.users.size(), 1U);
  EXPECT_EQ(served.users[0].counts.rx_packets, 2U);
  EXPECT_EQ(served.users[0].sessions, 2U);
  EXPECT_TRUE(served.guarded) << served.guard_note;
  EXPECT_THAT(served.devices.at(0).checksum.reason, HasSubstr("veth"));
}

TEST_F(IcmpCarrierTest, TwoUsersTwoPortsAndBothRoles) {
  serve("alice", 0x3fa2, 5000);
  serve("bob", 0x0001, 6000);
  connect("10.9.0.2", 0x3fa2, 5000);
  connect("10.9.0.2", 0x0001, 6000);
  // The other way round as well.
  at(client_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    ASSERT_OK(
        carrier->add_user({.name = "carol", .tag = {0x3fa2}, .port = 7000, .any_first = true}));
  });
  at(server_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 0x3fa2, 7000)));
  });
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("10.9.0.2", 6000);
  std::swap(client_, server_);
  expect_exchange("10.9.0.1", 7000, "10.9.0.2");
  std::swap(client_, server_);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, RemovedFlowsArePlainAgain) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  expect_exchange("10.9.0.2", 5000);
  at(client_, [] {
    ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))
                  ->remove_server(target("10.9.0.2", 0x3fa2, 5000)));
  });
  at(server_, [] {
    auto carrier = IcmpCarrier::find(BpfPins::Access::change);
    ASSERT_OK((*carrier)->remove_user((*carrier)->users()->front()));
    EXPECT_EQ((*carrier)->state()->sessions, 0U);
  });
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_GE(wire_->count()[IPPROTO_UDP], 2);
}

TEST_F(IcmpCarrierTest, OthersCannotOpenTheFlow) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  if (state(client_).devices.at(0).egress != "tcx") GTEST_SKIP() << "this kernel has no tcx (6.6)";
  ASSERT_EQ(shell(client_, "tc qdisc replace dev c0 clsact && tc qdisc del dev c0 clsact"), 0);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, DetachUnderLoadStaysClosedAndLeavesNothing) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  std::atomic<bool> stop = false;
  std::atomic<int> sent = 0;
  std::thread load([&] {
    Udp socket(client_.get(), "10.9.0.1", 0);
    while (!stop) sent += socket.send("load", "10.9.0.2", 5000) ? 1 : 0;
  });
  const auto wait_for_load = [&] {
    for (const int enough = sent + 50; sent < enough;) std::this_thread::yield();
  };
  wait_for_load();
  at(client_, [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->detach("c0")); });
  // The guard refuses what local sockets send now, so `sent` stands still.
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  while (state(client_).drops["not_attached"] < 50) std::this_thread::yield();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  connect("10.9.0.2", 0x3fa2, 5000);
  wait_for_load();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  at(client_,
     [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->remove_everything()); });
  expect_nothing_left(client_, "c0");
  wait_for_load();
  stop = true;
  load.join();
  EXPECT_GT(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, AnotherBuildReplacesProgramsWithoutAnOpenMoment) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  std::atomic<bool> stop = false;
  std::thread load([&] {
    Udp socket(client_.get(), "10.9.0.1", 0);
    while (!stop) socket.send("load", "10.9.0.2", 5000);
  });
  std::uint32_t before = 0;
  at(client_, [&] {
    auto pins = BpfPins::open(pins_name(), BpfPins::Access::change);
    ASSERT_OK(pins);
    before = read_link(pins->get("link-guard")->get())->program;
    // As if the programs that are attached were of an older build.
    for (const auto& name : pins->names("program-")) {
      const auto program = pins->get(name);
      auto older = name;
      auto& digit = older[std::strlen("program-")];
      digit = digit == '0' ? '1' : '0';
      ASSERT_OK(pins->remove(name));
      ASSERT_OK(pins->pin(older, program->get()));
    }
  });
  at(client_, [] { ASSERT_OK(IcmpCarrier::open()); });
  at(client_, [&] {
    auto pins = BpfPins::open(pins_name(), BpfPins::Access::read);
    EXPECT_NE(read_link(pins->get("link-guard")->get())->program, before);
    EXPECT_THAT(pins->names("program-"), ::testing::SizeIs(4));
  });
  stop = true;
  load.join();
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  expect_exchange("10.9.0.2", 5000);
}

TEST_F(IcmpCarrierTest, ClosedOnDevicesThatAreNotAttached) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  // The route moves to another wire.
  auto client = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_OK(client.create_veth({.name = "c1", .peer_name = "s1", .peer_netns = server_.get()}));
  auto server = std::move(*netlink::Socket::open(server_.get()));
  ASSERT_OK(server.set_up("s1", true));
  ASSERT_OK(client.set_up("c1", true));
  ASSERT_OK(client.add_route("c1", {*IpPrefix::parse("10.9.0.2/32"), {}, {}}));
  Udp socket(client_.get(), "10.9.0.1", 0);
  EXPECT_FALSE(socket.send("x", "10.9.0.2", 5000));
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(state(client_).drops["not_attached"], 1U);
}

TEST_F(IcmpCarrierTest, VanishedDevicesAreAttachedAgain) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  auto client = std::move(*netlink::Socket::open(client_.get()));
  ASSERT_OK(client.delete_link("c0"));
  EXPECT_EQ(state(client_).devices.at(0).name, "");
  ASSERT_OK(client.create_veth({.name = "c0", .peer_name = "s0", .peer_netns = server_.get()}));
  auto server = std::move(*netlink::Socket::open(server_.get()));
  set_up(client, "c0", "1");
  set_up(server, "s0", "2");
  wire_.emplace(server_.get(), "s0");
  Udp socket(client_.get(), "10.9.0.1", 0);
  EXPECT_FALSE(socket.send("x", "10.9.0.2", 5000));
  at(server_, [] { ASSERT_OK(IcmpCarrier::open()->attach("s0", {})); });
  connect("10.9.0.2", 0x3fa2, 5000);
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  EXPECT_EQ(state(client_).devices.size(), 1U);
}

/// As after a kill between the first step of detaching and the second.
TEST_F(IcmpCarrierTest, WhoseDetachingWasInterruptedIsAttachedAgain) {
  serve("alice", 0x3fa2, 5000);
  connect("10.9.0.2", 0x3fa2, 5000);
  const auto attached_index = [] {
    return (*IcmpCarrier::find(BpfPins::Access::read))->attached_index("c0");
  };
  const auto c0 = at(client_, attached_index);
  ASSERT_NE(c0, 0);
  at(client_, [&] {
    const auto pins = BpfPins::open(pins_name(), BpfPins::Access::change);
    DeviceTable devices(std::move(*pins->get("map-devices")));
    auto device = devices.find(static_cast<std::uint32_t>(c0));
    ASSERT_TRUE(device);
    device->closing = 1;
    ASSERT_OK(devices.put(static_cast<std::uint32_t>(c0), *device));
  });
  Udp socket(client_.get(), "10.9.0.1", 0);
  EXPECT_FALSE(socket.send("x", "10.9.0.2", 5000));
  EXPECT_EQ(at(client_, attached_index), 0);
  EXPECT_THAT(state(client_).devices.at(0).notes, Contains(HasSubstr("interrupted")));
  connect("10.9.0.2", 0x3fa2, 5000);
  EXPECT_EQ(at(client_, attached_index), c0);
  EXPECT_THAT(state(client_).devices.at(0).notes, Not(Contains(HasSubstr("interrupted"))));
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, WhatFailsLeavesNothing) {
  at(client_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    auto done = carrier->attach("nope", {});
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("find network device nope"));
    done = carrier->with_devices({"c0", "nope"}, {}, [] { return Result<>{}; });
    EXPECT_FALSE(done);
    done = carrier->with_devices({"c0"}, {}, []() -> Result<> { return fail("no"); });
    EXPECT_FALSE(done);
  });
  expect_nothing_left(client_, "c0");
}

TEST_F(IcmpCarrierTest, RefusesWhatIsTaken) {
  serve("alice", 0x3fa2, 5000);
  at(server_, [] {
    auto carrier = IcmpCarrier::open();
    ASSERT_OK(carrier);
    auto done = carrier->add_user({.name = "bob", .tag = {0x3fa2}, .port = 5000});
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("taken, by alice"));
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7000)));
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7000)));
    done = carrier->add_server(target("10.9.0.1", 8, 7000));
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("carried already, with tag 0007"));
    done = carrier->add_server(target("10.9.0.1", 7, 7001));
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("in use for port 7000"));
    ASSERT_OK(carrier->set_server(target("10.9.0.1", 8, 7000)));
    EXPECT_EQ(carrier->servers()->front().tag, Tag{8});
    ASSERT_OK(carrier->add_server(target("10.9.0.1", 7, 7001)));
  });
}

TEST_F(IcmpCarrierTest, ClsactLeavesOthersAlone) {
  IcmpDeviceOptions options;
  options.tcx = Tcx::avoid;
  serve("alice", 0x3fa2, 5000, options);
  const auto there = state(server_).devices.at(0);
  EXPECT_EQ(there.egress, "clsact");
  EXPECT_THAT(there.notes, Contains(HasSubstr("deletes the qdisc")));
  // Somebody else's filter: any program but ours will do.
  Fd other;
  at(server_, [&] {
    const auto pins = BpfPins::open(pins_name(), BpfPins::Access::read);
    for (const auto& name : pins->names("program-"))
      if (name.ends_with("-restore")) other = std::move(*pins->get(name));
  });
  const int c0 = at(client_, [] { return *netlink::Socket::open()->index("c0"); });
  at(client_, [&] {
    ASSERT_OK(clsact::create(c0));
    ASSERT_OK(clsact::add(c0, true, other.get()));
  });
  connect("10.9.0.2", 0x3fa2, 5000, options);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
  for (const auto* host : {&client_, &server_})
    at(*host,
       [] { ASSERT_OK((*IcmpCarrier::find(BpfPins::Access::change))->remove_everything()); });
  EXPECT_TRUE(at(client_, [&] { return clsact::find(c0, true, other.get()).has_value(); }));
  EXPECT_EQ(shell(client_, "tc qdisc show dev c0 | grep -q clsact"), 0);
  EXPECT_NE(shell(server_, "tc qdisc show dev s0 | grep -q clsact"), 0);
  expect_nothing_left(client_, "c0");
  expect_nothing_left(server_, "s0");
}

TEST_F(IcmpCarrierTest, SaysWhereClsactWasDeletedAndRepairsIt) {
  IcmpDeviceOptions options;
  options.tcx = Tcx::avoid;
  serve("alice", 0x3fa2, 5000, options);
  connect("10.9.0.2", 0x3fa2, 5000, options);
  ASSERT_EQ(shell(client_, "tc qdisc del dev c0 clsact"), 0);
  EXPECT_THAT(state(client_).devices.at(0).notes, Contains(HasSubstr("removed by somebody")));
  connect("10.9.0.2", 0x3fa2, 5000, options);
  EXPECT_EQ(state(client_).devices.at(0).egress, "clsact");
  expect_exchange("10.9.0.2", 5000);
}

TEST_F(IcmpCarrierTest, TakesXdpWhereNobodyElseIs) {
  IcmpDeviceOptions options;
  options.xdp = true;
  serve("alice", 0x3fa2, 5000, options);
  EXPECT_EQ(state(server_).devices.at(0).ingress, "xdp");
  connect("10.9.0.2", 0x3fa2, 5000);
  wire_->count();
  expect_exchange("10.9.0.2", 5000);
  expect_exchange("10.9.0.2", 5000);
  EXPECT_EQ(wire_->count()[IPPROTO_UDP], 0);
}

TEST_F(IcmpCarrierTest, PinsOfANamespaceThatIsGoneAreRemoved) {
  expect_removed_with_the_namespace(Tcx::use);
}

TEST_F(IcmpCarrierTest, PinsOfANamespaceThatIsGoneAreRemovedWithoutTcxToo) {
  expect_removed_with_the_namespace(Tcx::avoid);
}

}  // namespace
}  // namespace warren::carrier
