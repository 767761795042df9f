#include "bench/flood.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>

#include <warren/fd.h>

#include "bench/initiation_batch.h"
#include "bench/wait.h"
#include "crypto/secret.h"
#include "wireguard/cookie.h"

namespace warren::bench {

using wireguard::Initiation;

namespace {

using Clock = std::chrono::steady_clock;

Result<Fd> open_socket() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno("make a UDP socket");
  return socket;
}

}  // namespace

std::vector<Initiation> forge_initiations(const wireguard::PublicKey& responder,
                                          std::size_t count) {
  wireguard::CookieJar jar(responder);
  std::vector<Initiation> messages(count);
  for (auto& message : messages) {
    std::array<std::uint8_t, 4> index;
    crypto::random_bytes(index);
    std::memcpy(&message.sender, index.data(), sizeof message.sender);
    crypto::random_bytes(message.ephemeral);
    crypto::random_bytes(message.sealed_static);
    crypto::random_bytes(message.sealed_timestamp);
    jar.stamp(message, wireguard::Time{});
  }
  return messages;
}

Result<> run_flood(const Flood& flood) {
  auto socket = open_socket();
  if (!socket) return tl::unexpected(socket.error());
  constexpr std::size_t different = 4096;
  const auto messages = forge_initiations(flood.responder, different);
  InitiationBatch batch(socket->get(), flood.to);
  const auto begin = Clock::now();
  std::int64_t sent = 0;
  while (!interrupted()) {
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    const auto due = static_cast<std::int64_t>(elapsed.count() * flood.per_second) - sent;
    if (due > flood.per_second)
      return fail(fmt::format("could not send {} initiations a second", flood.per_second));
    for (std::int64_t i = 0; i < due && !batch.full(); ++i, ++sent)
      batch.push(messages[static_cast<std::size_t>(sent) % different]);
    if (auto done = batch.flush(); !done) return done;
    constexpr int tick_ms = 1;
    if (due <= static_cast<std::int64_t>(InitiationBatch::size)) ::poll(nullptr, 0, tick_ms);
  }
  return {};
}

Result<> hold_idle_port(SocketAddress address) {
  const auto socket = open_socket();
  if (!socket) return tl::unexpected(socket.error());
  if (::bind(socket->get(), address.get(), address.size) != 0)
    return fail_errno("bind the UDP port that nobody reads");
  while (!interrupted()) ::poll(nullptr, 0, -1);
  return {};
}

}  // namespace warren::bench
