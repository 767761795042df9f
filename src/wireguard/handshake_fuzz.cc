// Datagrams from strangers, and what can be done to those of a friend on their way.
//
// The input is taken twice: as a datagram, and as what is XORed over a genuine message of the kind
// that its first byte chooses. What is changed must be refused wherever it is authenticated; what is
// not changed must be accepted. MAC1 is made right again, which anyone can who knows the public key.

#include "core/fuzzing.h"
#include "wireguard/handshake_testing.h"
#include "wireguard/session.h"

namespace warren::wireguard {
namespace {

using namespace testing;
using namespace std::chrono_literals;

// The bytes of `message` with those of `mask` over them. True where anything in [from, to) changed.
template <class Message>
bool apply(Message& message, Bytes mask, std::size_t from, std::size_t to) {
  Buffer bytes(bytes_of(message).begin(), bytes_of(message).end());
  bool changed = false;
  for (std::size_t i = 0; i < std::min(bytes.size(), mask.size()); ++i) {
    bytes[i] ^= mask.data()[i];
    changed = changed || (i >= from && i < to && mask.data()[i] != 0);
  }
  const auto parsed = parse<Message>(bytes);
  if (parsed) message = *parsed;
  return changed || !parsed;
}

void change_initiation(Bytes mask) {
  Pair pair;
  auto message = *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  const auto genuine = bytes_of(message);
  const Buffer before(genuine.begin(), genuine.end());
  const bool changed = apply(message, mask, 8, 116);
  const bool same = std::ranges::equal(before, bytes_of(message));
  pair.a.jar.stamp(message, at(1s));
  require(pair.b.checker.check(message, {}, at(1s)) == CookieChecker::Verdict::mac1);
  require(answer(pair.b, message, 2, at(1s)).has_value() == (!changed || same));
}

void change_response(Bytes mask) {
  Pair pair;
  const auto initiation = *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  auto message = answer(pair.b, initiation, 2, at(1s))->message;
  const Response before = message;
  const bool changed = apply(message, mask, 8, 60);
  const bool same = std::ranges::equal(bytes_of(before), bytes_of(message));
  const auto keys = pair.a.handshake.finish(pair.a.identity, message);
  require(keys.has_value() == (!changed || same));
}

void change_cookie_reply(Bytes mask) {
  Pair pair;
  auto initiation = *pair.a.handshake.initiate(pair.a.identity, 1, clock_at(1s));
  pair.a.jar.stamp(initiation, at(1s));
  auto message = pair.b.checker.reply(initiation, Buffer{1, 2, 3}, at(1s));
  const CookieReply before = message;
  const bool changed = apply(message, mask, 8, 64);
  const bool same = std::ranges::equal(bytes_of(before), bytes_of(message));
  require(pair.a.jar.accept(message, at(1s)) == (!changed || same));
}

void change_transport(Bytes mask) {
  static auto aead = crypto::Aead::create().value();
  SessionKeys keys{Key::random(), {}, 1, 2, true};
  keys.receive = keys.send;
  Session session(keys, at(0s));
  std::vector<std::byte> message(32 + mask.size() / 2);
  auto job = session.seal(message);
  aead.seal({&job, 1});
  require(job.ok);
  bool changed = false;
  for (std::size_t i = 8; i < std::min(message.size(), mask.size()); ++i) {
    message[i] ^= std::byte{mask.data()[i]};
    changed = changed || mask.data()[i] != 0;
  }
  const Transport<std::byte> transport(message);
  job = session.open(transport);
  aead.open({&job, 1});
  require(job.ok == !changed);
  if (job.ok) {
    require(session.accept(transport.counter()));
    require(!session.accept(transport.counter()));
  }
}

// As it comes from the network, and with MAC1 made right.
void receive(Bytes datagram) {
  static Pair pair{key_from_hex(vector::a_private), key_from_hex(vector::b_private)};
  static const bool initiated =
      pair.a.handshake.initiate(pair.a.identity, 0x06fff8f1, clock_at(1s)).has_value();
  require(initiated);
  if (auto message = parse<Initiation>(datagram)) {
    (void)pair.b.checker.check(*message, datagram, at(1s));
    pair.a.jar.stamp(*message, at(1s));
    require(pair.b.checker.check(*message, {}, at(1s)) == CookieChecker::Verdict::mac1);
    (void)answer(pair.b, *message, 2, at(1s));
  } else if (auto response = parse<Response>(datagram)) {
    (void)pair.a.checker.check(*response, datagram, at(1s));
    require(!pair.a.handshake.finish(pair.a.identity, *response));
  } else if (auto reply = parse<CookieReply>(datagram)) {
    require(!pair.b.jar.accept(*reply, at(1s)));
  }
}

}  // namespace
}  // namespace warren::wireguard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace warren::wireguard;
  if (size == 0) return 0;
  receive({data, size});
  const Bytes mask{data + 1, size - 1};
  switch (data[0]) {
    case 1:
      change_initiation(mask);
      break;
    case 2:
      change_response(mask);
      break;
    case 3:
      change_cookie_reply(mask);
      break;
    case 4:
      change_transport(mask);
      break;
    default:
      break;
  }
  return 0;
}
