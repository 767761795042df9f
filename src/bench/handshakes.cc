#include "bench/handshakes.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <fstream>
#include <vector>

#include "bench/initiation_batch.h"
#include "bench/process.h"
#include "bench/socket_address.h"
#include "bench/wait.h"
#include "linux/netns.h"
#include "wireguard/cookie.h"
#include "wireguard/key_text.h"
#include "wireguard/noise.h"

namespace warren::bench {

namespace {

using namespace wireguard;
using Clock = std::chrono::steady_clock;

// Initiations under way: fewer than make responders feel loaded.
constexpr std::size_t window = InitiationBatch::size;
constexpr auto rest = std::chrono::milliseconds(55);  // of an initiator, between two handshakes
constexpr auto lost_after = std::chrono::seconds(1);
constexpr Milliseconds setup_patience{60000};
constexpr std::uint64_t finished_every = 8;
constexpr std::uint32_t index_bits = 14;
static_assert(HandshakeLoad::most_initiators <= 1 << index_bits);

struct Initiator {
  Initiator(const PublicKey& responder, in_addr address)
      : identity(crypto::x25519_generate()),
        handshake(identity, responder),
        cookies(responder),
        checker(identity.public_key()),
        source(address) {}

  Identity identity;
  Handshake handshake;
  CookieJar cookies;
  CookieChecker checker;
  in_addr source;
  std::uint32_t attempt = 0;
  bool waiting = false;
  bool answered = false;  // once
  Clock::time_point begun{};
};

wireguard::Time protocol_time(Clock::time_point time) {
  return wireguard::Time{time.time_since_epoch()};
}

Timestamp wall_clock() {
  return Timestamp::at(std::chrono::system_clock::now().time_since_epoch());
}

in_addr source_address(const IpPrefix& prefix, std::uint32_t number) {
  std::uint32_t network = 0;
  std::memcpy(&network, prefix.address.bytes.data(), sizeof network);
  return {htonl(ntohl(network) + number + 1)};
}

}  // namespace

class Handshakes::Initiators {
 public:
  Initiators(Fd socket, const SocketAddress& to, const HandshakeLoad& load,
             const PublicKey& responder)
      : socket_(std::move(socket)), batch_(socket_.get(), to) {
    for (int i = 0; i < load.initiators; ++i)
      all_.push_back(std::make_unique<Initiator>(
          responder, source_address(load.sources, static_cast<std::uint32_t>(i))));
  }

  // The part of a configuration file that makes them peers.
  [[nodiscard]] std::string configuration() const {
    SecretText text;
    for (const auto& initiator : all_) {
      text += "[Peer]\nPublicKey = ";
      append_base64(text, initiator->identity.public_key());
      text += "\n";
    }
    return {text.begin(), text.end()};
  }

  Result<> run(std::chrono::nanoseconds duration) {
    const auto begin = Clock::now();
    for (auto now = begin; now - begin < duration; now = Clock::now()) {
      expire(now);
      if (auto sent = fill(now); !sent) return sent;
      if (auto received = receive(); !received) return received;
    }
    elapsed_ += Clock::now() - begin;
    return {};
  }

  [[nodiscard]] bool all_answered() const { return answered_once_ == all_.size(); }

  void reset() {
    counts_ = {};
    elapsed_ = {};
  }
  [[nodiscard]] HandshakeResult result() const {
    auto result = counts_;
    const auto seconds = std::chrono::duration<double>(elapsed_).count();
    result.per_s = seconds > 0 ? static_cast<double>(result.answered) / seconds : 0;
    return result;
  }

 private:
  Result<> fill(Clock::time_point now) {
    while (under_way_ < window) {
      auto& initiator = *all_[next_];
      if (initiator.waiting || now - initiator.begun < rest) break;
      begin(static_cast<std::uint32_t>(next_), now);
      next_ = (next_ + 1) % all_.size();
      if (batch_.full())
        if (auto sent = batch_.flush(); !sent) return sent;
    }
    return batch_.flush();
  }

  void begin(std::uint32_t number, Clock::time_point now) {
    auto& initiator = *all_[number];
    ++initiator.attempt;
    auto message = initiator.handshake.initiate(
        initiator.identity, number | initiator.attempt << index_bits, wall_clock());
    if (!message) return;
    initiator.cookies.stamp(*message, protocol_time(now));
    batch_.push(*message, initiator.source);
    initiator.begun = now;
    initiator.waiting = true;
    ++under_way_;
    order_.push_back({number, initiator.attempt});
  }

  void end(Initiator& initiator) {
    initiator.waiting = false;
    --under_way_;
  }

  // The oldest are at the front; those that were answered are still in the queue.
  void expire(Clock::time_point now) {
    while (!order_.empty()) {
      auto& initiator = *all_[order_.front().number];
      const bool waits = initiator.waiting && initiator.attempt == order_.front().attempt;
      if (waits && now - initiator.begun < lost_after) return;
      if (waits) {
        end(initiator);
        ++counts_.lost;
      }
      order_.pop_front();
    }
  }

  Result<> receive() {
    pollfd readable{socket_.get(), POLLIN, 0};
    constexpr int look_ms = 1;
    if (::poll(&readable, 1, look_ms) <= 0) return {};
    for (std::size_t i = 0; i < window; ++i) {
      std::array<std::uint8_t, 256> datagram;
      const auto got = ::recv(socket_.get(), datagram.data(), datagram.size(), MSG_TRUNC);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
      if (got < 0) return fail_errno("receive responses");
      if (static_cast<std::size_t>(got) > datagram.size()) continue;
      const Bytes bytes{datagram.data(), static_cast<std::size_t>(got)};
      if (const auto response = parse<Response>(bytes)) {
        if (auto taken = take(*response); !taken) return taken;
      } else if (const auto cookie = parse<CookieReply>(bytes)) {
        take(*cookie);
      }
    }
    return {};
  }

  // The initiator that waits for an answer with this index.
  Initiator* find(std::uint32_t index) {
    const auto number = index & ((1U << index_bits) - 1);
    if (number >= all_.size()) return nullptr;
    auto& initiator = *all_[number];
    const bool same = index == (number | initiator.attempt << index_bits);
    return same && initiator.waiting ? &initiator : nullptr;
  }

  Result<> take(const Response& response) {
    auto* initiator = find(response.receiver);
    if (initiator == nullptr) return {};  // it came too late
    const auto now = protocol_time(Clock::now());
    if (initiator->checker.check(response, {}, now) == CookieChecker::Verdict::invalid)
      return fail("a response has a wrong MAC1");
    const bool finish = ++responses_ % finished_every == 0;
    if (finish && !initiator->handshake.finish(initiator->identity, response))
      return fail("a response is not genuine");
    end(*initiator);
    ++counts_.answered;
    answered_once_ += initiator->answered ? 0 : 1;
    initiator->answered = true;
    return {};
  }

  void take(const CookieReply& reply) {
    auto* initiator = find(reply.receiver);
    if (initiator == nullptr || !initiator->cookies.accept(reply, protocol_time(Clock::now())))
      return;
    end(*initiator);
    ++counts_.cookies;
  }

  struct Attempt {
    std::uint32_t number;
    std::uint32_t attempt;
  };

  Fd socket_;
  InitiationBatch batch_;
  std::vector<std::unique_ptr<Initiator>> all_;
  std::deque<Attempt> order_;
  std::size_t next_ = 0;
  std::size_t under_way_ = 0;
  std::size_t answered_once_ = 0;
  std::uint64_t responses_ = 0;
  HandshakeResult counts_;
  Clock::duration elapsed_{};
};

namespace {

// What wg(8) prints about the interface, without the end of the line.
Result<std::string> ask(const Host& server, const std::string& device, const char* what) {
  auto text = run_to_end({{"wg", "show", device, what}, {}}, &server);
  while (text && !text->empty() && text->back() == '\n') text->pop_back();
  return text;
}

Result<PublicKey> ask_key(const Host& server, const std::string& device) {
  const auto text = ask(server, device, "public-key");
  if (!text) return tl::unexpected(text.error());
  PublicKey key;
  if (!decode_base64(*text, key)) return fail(fmt::format("{} has no key", device));
  return key;
}

Result<std::uint16_t> ask_port(const Host& server, const std::string& device) {
  const auto text = ask(server, device, "listen-port");
  if (!text) return tl::unexpected(text.error());
  std::uint16_t port = 0;
  std::from_chars(text->data(), text->data() + text->size(), port);
  if (port == 0) return fail(fmt::format("{} listens on no port", device));
  return port;
}

Result<> add_peers(const Host& server, const std::string& device, const std::string& peers) {
  constexpr auto file = "/run/bench-initiators.conf";
  std::ofstream out(server.path(file));
  out << peers;
  out.close();
  if (!out) return fail_errno(fmt::format("host {}: write {}", server.name(), file));
  const auto added = run_to_end({{"wg", "addconf", device, file}, {}}, &server);
  return added ? Result<>{} : tl::unexpected(added.error());
}

Result<Fd> open_socket(const Host& client) {
  auto scope = NetnsScope::enter(client.netns());
  if (!scope) return tl::unexpected(scope.error());
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(fmt::format("host {}: make a UDP socket", client.name()));
  return socket;
}

}  // namespace

Result<Handshakes> Handshakes::open(const Host& client, const Host& server,
                                    const HandshakeLoad& load) {
  const auto key = ask_key(server, load.device);
  if (!key) return tl::unexpected(key.error());
  const auto port = ask_port(server, load.device);
  if (!port) return tl::unexpected(port.error());
  auto socket = open_socket(client);
  if (!socket) return tl::unexpected(socket.error());
  auto initiators = std::make_unique<Initiators>(std::move(*socket),
                                                 SocketAddress(load.endpoint, *port), load, *key);
  if (auto added = add_peers(server, load.device, initiators->configuration()); !added)
    return tl::unexpected(added.error());
  const auto answered = wait_until(
      "an answer to each initiator",
      [&]() -> Result<bool> {
        if (auto ran = initiators->run(Milliseconds(100)); !ran) return tl::unexpected(ran.error());
        return initiators->all_answered();
      },
      setup_patience);
  if (!answered) return tl::unexpected(answered.error());
  initiators->reset();
  return Handshakes(std::move(initiators));
}

Handshakes::Handshakes(std::unique_ptr<Initiators> initiators)
    : initiators_(std::move(initiators)) {}
Handshakes::Handshakes(Handshakes&&) noexcept = default;
Handshakes& Handshakes::operator=(Handshakes&&) noexcept = default;
Handshakes::~Handshakes() = default;

Result<> Handshakes::run(std::chrono::nanoseconds duration) { return initiators_->run(duration); }
HandshakeResult Handshakes::result() const { return initiators_->result(); }

std::string to_json(const HandshakeResult& result) {
  return fmt::format(R"({{"per_s":{},"per_core_s":{},"answered":{},"cookies":{},"lost":{}}})",
                     result.per_s, result.per_core_s, result.answered, result.cookies, result.lost);
}

}  // namespace warren::bench
