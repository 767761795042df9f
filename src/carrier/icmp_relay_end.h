/// What the two ends of the relay have in common: sockets for echo messages, and the batches in which
/// datagrams become messages and messages datagrams.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "carrier/echo_diverter.h"
#include "carrier/icmp_relay.h"
#include "carrier/icmp_shortcut.h"
#include "carrier/icmp_socket.h"
#include "io/loopback_ring.h"
#include "io/udp_socket.h"
#include "linux/ipsec.h"

namespace warren::carrier {

class IcmpRelayEnd : public IcmpRelay {
 public:
  [[nodiscard]] const IcmpRelayCounters& counters() const noexcept final { return counters_; }

 protected:
  static constexpr int max_batches = 4;  // per turn, so that all descriptors have theirs

  explicit IcmpRelayEnd(Loop& loop) : loop_(loop) {}

  /// From now on restore() is called with messages that have one of the tags. A machine without IPv6
  /// does with IPv4.
  [[nodiscard]] Result<> open_icmp(IcmpDirection receives, std::span<const Tag> tags);
  /// From now on IPv4 messages come from a ring, except those that it cannot take. Where that is not
  /// possible, the reason is logged. After open_icmp().
  void start_ring(IcmpDirection receives, std::span<const Tag> tags);
  /// All messages come through sockets again: `why` is logged.
  void leave_ring(std::string_view why) noexcept;
  /// From now on carry() is called with what comes through this ring. Where there is none, the reason
  /// is logged.
  [[nodiscard]] Result<> use_loopback_ring(Result<LoopbackRing> ring);
  [[nodiscard]] bool has_loopback_ring() const noexcept { return loopback_ring_.has_value(); }
  /// Takes a datagram of a local program that was in the ring; it is good until flush_out().
  virtual void carry(const LoopbackRing::Datagram& datagram) noexcept = 0;
  /// Takes a message that arrived; `message.payload` is good until flush_in().
  virtual void restore(const IcmpSocket& socket, const EchoMessage& message) noexcept = 0;
  /// What is at `i` in `in_`, without addresses.
  [[nodiscard]] LoopbackRing::Datagram received(std::size_t i) noexcept;
  /// Puts a datagram, or each of those that it stands for, into `icmp_out_` as a message.
  void write_messages(const LoopbackRing::Datagram& datagram, const IcmpSocket& socket,
                      const EchoTarget& target, IcmpShortcut& shortcut) noexcept;
  void flush_out() noexcept;
  void flush_in() noexcept { counters_.add_in(udp_out_.flush()); }

  Loop& loop_;
  IcmpRelayCounters counters_;
  std::array<std::optional<IcmpSocket>, 2> icmp_;  // IPv4, IPv6
  std::optional<PacketRing> ring_;
  ReceiveBatch in_;
  SendBatch icmp_out_;
  UdpWriter udp_out_;
  std::vector<std::unique_ptr<Loop::Watch>> watches_;

 private:
  void on_messages(const IcmpSocket& socket) noexcept;
  void on_ring() noexcept;
  bool take_from_ring() noexcept;
  void on_loopback_ring() noexcept;
  Result<> open_ring(IcmpDirection receives, std::span<const Tag> tags);
  Result<> watch_ipsec();
  void close_ring(std::string_view why) noexcept;
  void on_policies() noexcept;
  void take(const IcmpSocket& socket, const std::optional<EchoMessage>& message) noexcept;
  void write_message(const IcmpSocket& socket, const EchoTarget& target, IcmpShortcut& shortcut,
                     std::span<const std::byte> payload, std::size_t room) noexcept;
  void send_sample(const IcmpSocket& socket, const EchoTarget& target, IcmpShortcut& shortcut,
                   std::span<const std::byte> payload) noexcept;

  std::unique_ptr<Loop::Watch> ring_watch_;
  std::optional<EchoDiverter> ring_has_;
  std::optional<LoopbackRing> loopback_ring_;
  std::unique_ptr<Loop::Watch> loopback_ring_watch_;
  std::optional<IpsecPolicies> policies_;
  std::unique_ptr<Loop::Watch> policies_watch_;
  Fd frames_;  // for shortcuts
  std::uint32_t epoch_ = 0;
  std::vector<std::byte> sample_ = std::vector<std::byte>(65536 + 64);
};

}  // namespace warren::carrier
