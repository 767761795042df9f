#include "bench/flood.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <set>

#include <warren/fd.h>

#include "bench/initiation_batch.h"
#include "wireguard/cookie.h"
#include "wireguard/noise.h"

namespace warren::bench {
namespace {

using namespace wireguard;

TEST(Flood, ForgesWhatPassesTheFirstCheckAndNoMore) {
  const Identity responder(crypto::x25519_generate());
  const CookieChecker checker(responder.public_key());
  std::set<PublicKey> ephemerals;
  for (const auto& message : forge_initiations(responder.public_key(), 20)) {
    EXPECT_EQ(checker.check(message, {}, Time{}), CookieChecker::Verdict::mac1);
    EXPECT_FALSE(OpenedInitiation::open(responder, message));
    ephemerals.insert(message.ephemeral);
  }
  EXPECT_EQ(ephemerals.size(), 20U);
}

TEST(InitiationBatch, SendsEachFromItsOwnAddress) {
  const Fd receiver(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto to = *SocketAddress::parse("127.0.0.1", 0);
  ASSERT_EQ(::bind(receiver.get(), to.get(), to.size), 0);
  ASSERT_EQ(::getsockname(receiver.get(), to.get(), &to.size), 0);
  const Fd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

  InitiationBatch batch(sender.get(), to);
  constexpr std::uint32_t first = INADDR_LOOPBACK + 1;
  for (std::uint32_t i = 0; !batch.full(); ++i) {
    Initiation message;
    message.sender = i;
    batch.push(message, in_addr{htonl(first + i)});
  }
  ASSERT_TRUE(batch.flush());
  for (std::uint32_t i = 0; i < InitiationBatch::size; ++i) {
    pollfd readable{receiver.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 5000), 1);
    Initiation message;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    ASSERT_EQ(::recvfrom(receiver.get(), &message, sizeof message, 0,
                         reinterpret_cast<sockaddr*>(&from), &size),
              static_cast<ssize_t>(sizeof message));
    EXPECT_EQ(ntohl(from.sin_addr.s_addr), first + message.sender);
  }
  EXPECT_FALSE(batch.full());
}

}  // namespace
}  // namespace warren::bench
