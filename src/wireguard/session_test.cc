#include "wireguard/session.h"

#include <gtest/gtest.h>

#include "wireguard/handshake_testing.h"

namespace warren::wireguard {
namespace {

using namespace testing;
using namespace std::chrono_literals;

struct Ends {
  explicit Ends(const Done& done) : a(done.initiator, at(1s)), b(done.responder, at(1s)) {}
  Session a;
  Session b;
};

Done shaken() {
  Pair pair;
  return shake_hands(pair.a, pair.b, 1s).value();
}

using Message = std::vector<std::byte>;

// A transport message with this packet inside.
Message seal(crypto::Aead& aead, Session& session, const Message& packet) {
  Message message(packet.size() + Transport<std::byte>::overhead);
  std::ranges::copy(packet, message.begin() + Transport<std::byte>::header_length);
  auto job = session.seal(message);
  aead.seal({&job, 1});
  EXPECT_TRUE(job.ok);
  return message;
}

std::optional<Message> open(crypto::Aead& aead, Session& session, Message message) {
  if (classify(message) != MessageType::transport) return std::nullopt;
  const Transport<std::byte> transport(message);
  auto job = session.open(transport);
  aead.open({&job, 1});
  if (!job.ok || !session.accept(transport.counter())) return std::nullopt;
  return Message(transport.packet().begin(), transport.packet().end());
}

TEST(Session, CarriesPacketsBothWays) {
  auto aead = crypto::Aead::create().value();
  const auto done = shaken();
  Ends ends(done);
  for (const std::size_t size : {0U, 16U, 1420U, 5U}) {
    const Message packet(size, std::byte{0x5a});
    const auto sent = seal(aead, ends.a, packet);
    EXPECT_EQ(sent.size(), size + 32);
    EXPECT_EQ(Transport<const std::byte>(sent).receiver(), done.responder.local_index);
    EXPECT_EQ(open(aead, ends.b, sent), packet);
    EXPECT_EQ(open(aead, ends.b, sent), std::nullopt) << "replayed";
    EXPECT_EQ(open(aead, ends.a, sent), std::nullopt) << "reflected";
    EXPECT_EQ(open(aead, ends.a, seal(aead, ends.b, packet)), packet);
  }
  EXPECT_EQ(ends.a.use().sent_messages, 4U);
  EXPECT_TRUE(ends.a.use().initiator);
  EXPECT_FALSE(ends.b.use().initiator);
}

TEST(Session, TakesPacketsOutOfOrder) {
  auto aead = crypto::Aead::create().value();
  Ends ends(shaken());
  std::vector<Message> sent;
  sent.reserve(300);
  for (int i = 0; i < 300; ++i) sent.push_back(seal(aead, ends.a, Message(32)));
  EXPECT_EQ(Transport<std::byte>(sent[299]).counter(), 299U);
  for (int i = 299; i >= 0; --i) EXPECT_TRUE(open(aead, ends.b, sent[static_cast<std::size_t>(i)]));
  EXPECT_FALSE(ends.b.may_accept(7));
  EXPECT_TRUE(ends.b.may_accept(300));
}

TEST(Session, RefusesEveryChangedByte) {
  auto aead = crypto::Aead::create().value();
  Ends ends(shaken());
  const auto good = seal(aead, ends.a, Message(48, std::byte{1}));
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] ^= std::byte{4};
    if (i >= 4 && i < 8) {  // the index only finds the session
      EXPECT_NE(Transport<std::byte>(bad).receiver(), Transport<const std::byte>(good).receiver());
      continue;
    }
    EXPECT_FALSE(open(aead, ends.b, bad)) << i;
  }
  EXPECT_TRUE(open(aead, ends.b, good));
}

TEST(Session, EndsWhenItIsOldOrWornOut) {
  SessionUse use{at(0s), true, 0};
  EXPECT_TRUE(is_usable(use, at(179s)));
  EXPECT_FALSE(is_usable(use, at(180s)));
  use.sent_messages = limits::reject_after_messages;
  EXPECT_FALSE(is_usable(use, at(1s)));
}

// Which sessions a peer has, as their local indices; 0 where there is none.
struct Slots {
  std::uint32_t current, next, previous;
  bool operator==(const Slots&) const = default;
};
Slots slots(const Sessions& sessions) {
  const auto index = [](const Session* session) {
    return session == nullptr ? 0 : session->local_index();
  };
  return {index(sessions.current()), index(sessions.next()), index(sessions.previous())};
}

class SessionsTest : public ::testing::Test {
 protected:
  void add(std::uint32_t index, bool initiator) {
    SessionKeys keys;
    keys.local_index = index;
    keys.initiator = initiator;
    sessions_.add(keys, at(0s), erased_);
  }
  bool receive(std::uint32_t index) { return sessions_.received(*sessions_.find(index), erased_); }

  std::vector<std::uint32_t> gone_;
  std::function<void(std::uint32_t)> erased_ = [this](std::uint32_t index) {
    gone_.push_back(index);
  };
  Sessions sessions_;
};

TEST_F(SessionsTest, OfAnInitiatorAreUsedAtOnce) {
  add(1, true);
  EXPECT_EQ(slots(sessions_), (Slots{1, 0, 0}));
  add(2, true);
  EXPECT_EQ(slots(sessions_), (Slots{2, 0, 1}));
  add(3, true);
  EXPECT_EQ(slots(sessions_), (Slots{3, 0, 2}));
  EXPECT_EQ(gone_, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(sessions_.find(2), sessions_.previous());
  EXPECT_EQ(sessions_.find(1), nullptr);
}

TEST_F(SessionsTest, OfAResponderWaitForTheFirstPacket) {
  add(1, false);
  EXPECT_EQ(slots(sessions_), (Slots{0, 1, 0}));
  EXPECT_TRUE(receive(1));
  EXPECT_FALSE(receive(1));
  add(2, false);
  EXPECT_EQ(slots(sessions_), (Slots{1, 2, 0}));
  EXPECT_FALSE(receive(1));
  add(3, false);  // the answer to 2 got lost
  EXPECT_EQ(slots(sessions_), (Slots{1, 3, 0}));
  EXPECT_TRUE(receive(3));
  EXPECT_EQ(slots(sessions_), (Slots{3, 0, 1}));
  EXPECT_EQ(gone_, (std::vector<std::uint32_t>{2}));
  sessions_.clear(erased_);
  EXPECT_EQ(slots(sessions_), (Slots{0, 0, 0}));
  EXPECT_EQ(gone_, (std::vector<std::uint32_t>{2, 3, 1}));
}

TEST_F(SessionsTest, SurviveWhenBothInitiate) {
  add(1, false);  // answered the peer
  add(2, true);   // and was answered
  EXPECT_EQ(slots(sessions_), (Slots{2, 0, 1}));
  EXPECT_FALSE(receive(1));  // still taken
  EXPECT_TRUE(gone_.empty());
}

TEST(Messages, AreToldByTypeAndLength) {
  Buffer datagram(148);
  EXPECT_EQ(classify(datagram), std::nullopt);
  datagram[0] = 1;
  EXPECT_EQ(classify(datagram), MessageType::initiation);
  EXPECT_FALSE(parse<Response>(datagram));
  datagram[2] = 1;
  EXPECT_EQ(classify(datagram), std::nullopt);
  datagram[2] = 0;
  for (const std::size_t size : {0U, 1U, 4U, 31U, 63U, 91U, 147U, 149U}) {
    for (std::uint8_t type = 0; type < 4; ++type) {
      Buffer other(size);
      if (size > 0) other[0] = type;
      EXPECT_EQ(classify(other), std::nullopt) << size;
    }
  }
  Buffer transport(32);
  transport[0] = 4;
  EXPECT_EQ(classify(transport), MessageType::transport);
  transport.resize(31);
  EXPECT_EQ(classify(transport), std::nullopt);
}

TEST(Messages, AreLittleEndian) {
  Initiation message;
  message.sender = 0x01020304;
  EXPECT_EQ(to_hex(bytes_of(message)).substr(0, 16), "0100000004030201");
  Message packet(32);
  Transport<std::byte>(packet).write_header(0x0a0b0c0d, 0x0102030405060708);
  EXPECT_EQ(to_hex(Bytes(packet)).substr(0, 32), "040000000d0c0b0a0807060504030201");
}

TEST(Messages, ArePadded) {
  EXPECT_EQ(padded_length(0, 1420), 0U);
  EXPECT_EQ(padded_length(1, 1420), 16U);
  EXPECT_EQ(padded_length(16, 1420), 16U);
  EXPECT_EQ(padded_length(1409, 1420), 1420U);
  EXPECT_EQ(padded_length(1420, 1420), 1420U);
  EXPECT_EQ(padded_length(1500, 1420), 1500U);
}

}  // namespace
}  // namespace warren::wireguard
