/// The workload `handshakes`: how many WireGuard handshakes a responder answers in a second.
///
/// Theory of operation. Thousands of initiators, which the responder knows as peers, share one socket
/// and one thread. So many initiations are under way at a time; each answer makes room for the next:
///
///     initiator 7 at 10.64.0.7 ── initiation ──▶ ┌───────────┐
///     initiator 8 at 10.64.0.8 ── initiation ──▶ │ responder │
///     initiator 7              ◀── response ──── │           │
///     initiator 8              ◀── cookie ────── └───────────┘  under load; 8 comes again with MAC2
///
/// Each has an address of its own, because a responder under load answers an address no more than 20
/// times a second; and each rests between two handshakes, because responders ignore peers that come
/// faster. Of every response MAC1 is checked and whether it was asked for; every eighth is finished,
/// which proves it: to finish all of them would take as long as the responder takes.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <warren/address.h>
#include <warren/result.h>

#include "bench/host.h"

namespace warren::bench {

struct HandshakeLoad {
  static constexpr int most_initiators = 1 << 14;

  std::string device;  ///< the responder's WireGuard interface
  IpAddress endpoint;  ///< its address outside the tunnel
  IpPrefix sources;    ///< addresses of the initiators, IPv4; the client must hold them as its own
  int initiators = 2048;

  /// By which the initiators' addresses differ.
  [[nodiscard]] unsigned bits() const {
    return static_cast<unsigned>(std::bit_width(static_cast<unsigned>(initiators)));
  }
};

struct HandshakeResult {
  double per_s = 0;
  /// Per second of processor time that the row's programs spent; 0 where there are none.
  double per_core_s = 0;
  std::int64_t answered = 0;
  std::int64_t cookies = 0;  ///< instead of an answer
  std::int64_t lost = 0;     ///< not answered within a second
};

class Handshakes {
 public:
  /// Makes the initiators and their keys, tells the server's interface about them with wg(8), and
  /// waits until each was answered once.
  [[nodiscard]] static Result<Handshakes> open(const Host& client, const Host& server,
                                               const HandshakeLoad& load);
  Handshakes(Handshakes&&) noexcept;
  Handshakes& operator=(Handshakes&&) noexcept;
  ~Handshakes();

  /// Keeps the responder busy for that long. A response that is not genuine is an error.
  [[nodiscard]] Result<> run(std::chrono::nanoseconds duration);
  /// Of all runs.
  [[nodiscard]] HandshakeResult result() const;

 private:
  class Initiators;
  explicit Handshakes(std::unique_ptr<Initiators> initiators);
  std::unique_ptr<Initiators> initiators_;
};

[[nodiscard]] std::string to_json(const HandshakeResult& result);

}  // namespace warren::bench
