/// Ports: where packets pass from one node to the next.
///
/// A link is two ports that point at each other. Sending is one virtual call per batch; there is no
/// queue between nodes of one thread. All calls come from the thread of the nodes' Loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <warren/batch.h>
#include <warren/counters.h>

namespace warren {

/// What the first byte of a packet belongs to.
enum class Medium : std::uint8_t { ip, ethernet };

[[nodiscard]] std::string_view medium_name(Medium medium) noexcept;

/// What a port takes from its peer. Packets that ask for more are finished in software before they
/// reach it.
struct Capabilities {
  Medium medium = Medium::ip;
  bool checksum = false;  ///< takes packets whose checksum is pending
  bool tso4 = false;      ///< takes TCP super-packets over IPv4
  bool tso6 = false;
  bool uso = false;     ///< takes UDP super-packets, IPv4 and IPv6
  bool tunnel = false;  ///< takes all these behind the headers of a VXLAN too

  /// Takes every super-packet, but none behind other headers.
  [[nodiscard]] static constexpr Capabilities super_packets(Medium medium) noexcept {
    return {.medium = medium, .checksum = true, .tso4 = true, .tso6 = true, .uso = true};
  }
  /// Takes every super-packet, also in a VXLAN.
  [[nodiscard]] static constexpr Capabilities super_packets_in_tunnels() noexcept {
    auto all = super_packets(Medium::ip);
    all.tunnel = true;
    return all;
  }
  /// A port with these capabilities takes everything that one with `other` takes.
  [[nodiscard]] bool covers(const Capabilities& other) const noexcept {
    return checksum >= other.checksum && tso4 >= other.tso4 && tso6 >= other.tso6 &&
           uso >= other.uso && tunnel >= other.tunnel;
  }
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

/// Takes packets.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  /// Takes every packet of the batch, and leaves it empty. Where it must drop, it counts why.
  virtual void receive(Batch& batch) noexcept = 0;
  /// The same for packets that stay the caller's, with which nothing is left to do: they are good
  /// until this returns, and may be changed. False where it does not take them so, and is to be
  /// given copies.
  [[nodiscard]] virtual bool borrow(std::span<const std::span<std::byte>>) noexcept {
    return false;
  }
  /// The end of a burst: nothing that was received may be held back for company any longer.
  virtual void flush() noexcept {}
};

/// One duplex end of a node. receive() is how packets enter the node here; emit() is how they leave
/// it.
class Port : public PacketSink {
 public:
  explicit Port(std::string name) : name_(std::move(name)) {}
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] virtual Capabilities capabilities() const noexcept = 0;
  /// What this port may emit: the most that its packets can ask of a peer.
  [[nodiscard]] virtual Capabilities emits() const noexcept { return capabilities(); }

  [[nodiscard]] bool linked() const noexcept { return peer_ != nullptr; }
  /// The peer outlives the link: disconnect() first. For Graph.
  void connect(PacketSink& peer) noexcept { peer_ = &peer; }
  void disconnect() noexcept { peer_ = nullptr; }

  /// Packets that entered the node here, and those of them that it dropped.
  Counters received;
  /// Packets that left the node here, and those that found no link.
  Counters sent;

 protected:
  void emit(Batch& batch) noexcept {
    if (peer_ == nullptr) return batch.drop(sent, DropReason::no_link);
    sent.packets.add(batch.size());
    sent.bytes.add(batch.total_bytes());
    peer_->receive(batch);
  }
  /// Where it is false, nothing has happened: emit() copies.
  [[nodiscard]] bool lend(std::span<const std::span<std::byte>> packets) noexcept {
    if (peer_ == nullptr || !peer_->borrow(packets)) return false;
    sent.packets.add(packets.size());
    for (const auto packet : packets) sent.bytes.add(packet.size());
    return true;
  }
  void emit_flush() noexcept {
    if (peer_ != nullptr) peer_->flush();
  }

 private:
  std::string name_;
  PacketSink* peer_ = nullptr;
};

}  // namespace warren
