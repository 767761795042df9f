// The client side of the relay: a local UDP port, and a server that speaks ICMP.
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "carrier/conversations.h"
#include "carrier/icmp_relay_end.h"
#include "carrier/name_lookup.h"
#include "core/log.h"
#include "linux/sysctl.h"

namespace warren::carrier {
namespace {

/// Who talks to the relay, and at which of its addresses.
struct Peer {
  SocketAddress remote;
  IpAddress local;  // all zero where the relay listens on one address

  template <class Mix>
  void hash_into(Mix&& mix) const noexcept {
    mix(wire::load_raw<std::uint64_t>(std::as_bytes(std::span(remote.ip.bytes)).data()));
    mix(wire::load_raw<std::uint64_t>(std::as_bytes(std::span(remote.ip.bytes)).data() + 8));
    mix(std::uint64_t{remote.port} << 32 | remote.scope);
  }
  friend bool operator==(const Peer&, const Peer&) = default;
};

// A machine that translates addresses for others may translate those of this relay's messages as
// well, and a ring sees the replies before that is undone.
bool forwards_ipv4() {
  std::error_code error;
  for (const auto& device : std::filesystem::directory_iterator("/proc/sys/net/ipv4/conf", error)) {
    const auto name = device.path().filename().string();
    const auto forwards = sysctl::read(fmt::format("net/ipv4/conf/{}/forwarding", name));
    if (forwards && *forwards != "0") return true;
  }
  return static_cast<bool>(error);
}

class Client final : public IcmpRelayEnd {
 public:
  Client(Loop& loop, const IcmpRelayClientConfig& config)
      : IcmpRelayEnd(loop),
        config_(config),
        conversations_(std::min<std::size_t>(config.limits.conversations, identifiers)),
        by_identifier_(identifiers + 1, nullptr),
        tick_(loop, [this] { on_tick(); }) {}

  Result<> start();

  std::size_t conversations() const noexcept override { return conversations_.size(); }

 private:
  struct Identified {
    std::uint16_t identifier = 0;
    IcmpShortcut shortcut;
  };
  using Table = Conversations<Peer, Identified>;

  static constexpr std::size_t identifiers = 0xffff;  // 1 to 0xffff

  void on_datagrams() noexcept;
  void carry(const LoopbackRing::Datagram& datagram) noexcept override {
    counters_.local_ring.add(1);
    send({datagram.from, IpAddress{}}, datagram);
  }
  void send(const Peer& peer, const LoopbackRing::Datagram& datagram) noexcept;
  void restore(const IcmpSocket& socket, const EchoMessage& message) noexcept override;
  Table::Entry* open_conversation(const Peer& peer) noexcept;
  void close_conversation(Table::Entry& entry) noexcept;
  void use(const NameLookup::Answer& answer);
  void look_up();
  Result<> start_loopback_ring();
  void on_tick();
  [[nodiscard]] const IcmpSocket* socket_for(const SocketAddress& server) const noexcept {
    const auto& socket = icmp_[server.ip.ipv6 ? 1 : 0];
    return socket ? &*socket : nullptr;
  }

  const IcmpRelayClientConfig config_;

  Table conversations_;
  std::vector<Table::Entry*> by_identifier_;
  std::uint16_t next_identifier_ = static_cast<std::uint16_t>(std::random_device{}());

  std::optional<SocketAddress> server_;
  Clock::time_point said_{};   // to the server: the first time since it last said something
  bool waiting_ = false;       // for an answer, since said_
  Clock::time_point asked_{};  // the name servers

  Fd udp_;
  std::unique_ptr<Loop::Watch> udp_watch_;
  std::unique_ptr<NameLookup> lookup_;
  Timer tick_;
};

Result<> Client::start() {
  auto udp = open_udp_listener(config_.listen);
  if (!udp) return tl::unexpected(udp.error());
  udp_ = std::move(*udp);
  if (auto opened = open_icmp(IcmpDirection::reply, {&config_.ticket.tag, 1}); !opened)
    return opened;
  if (config_.limits.ring) {
    if (auto started = start_loopback_ring(); !started) return started;
    if (!forwards_ipv4()) start_ring(IcmpDirection::reply, {&config_.ticket.tag, 1});
  }
  auto watch = loop_.watch(udp_.get(), [this] { on_datagrams(); });
  if (!watch) return tl::unexpected(watch.error());
  udp_watch_ = std::move(*watch);
  auto lookup = NameLookup::create(loop_, [this](const auto& answer) { use(answer); });
  if (!lookup) return tl::unexpected(lookup.error());
  lookup_ = std::move(*lookup);
  if (const auto number = IpAddress::parse(config_.ticket.server.host))
    use(std::vector{*number});
  // Names are looked up when the loop runs: the privileges of set-up are gone then, and the thread that
  // reads the answers never has them.
  tick_.set(loop_.now());
  return {};
}

void Client::on_datagrams() noexcept {
  for (int batch = 0; batch < max_batches; ++batch) {
    const auto count = in_.receive(udp_.get());
    for (std::size_t i = 0; i < count; ++i)
      send({in_.sender(i), in_.local(i).value_or(IpAddress{})}, received(i));
    flush_out();
    if (count < ReceiveBatch::capacity) break;
  }
}

void Client::send(const Peer& peer, const LoopbackRing::Datagram& datagram) noexcept {
  const IcmpSocket* socket = server_ ? socket_for(*server_) : nullptr;
  if (socket == nullptr) {
    counters_.no_server.add(1);
    return;
  }
  auto* conversation = conversations_.find(peer);
  if (conversation == nullptr) conversation = open_conversation(peer);
  if (conversation == nullptr) {
    counters_.table_full.add(1);
    return;
  }
  conversations_.touch(*conversation, loop_.now(), false);
  if (!waiting_) said_ = loop_.now();
  waiting_ = true;
  const auto identifier = conversation->value.identifier;
  const EchoFields fields{
      .direction = IcmpDirection::request, .identifier = identifier, .sequence = identifier};
  write_messages(datagram, *socket, {.fields = fields, .to = *server_},
                 conversation->value.shortcut);
}

void Client::restore(const IcmpSocket&, const EchoMessage& message) noexcept {
  auto* conversation = by_identifier_[message.fields.client_port(config_.ticket.tag.profile)];
  if (!server_ || message.source.ip != server_->ip || conversation == nullptr) {
    counters_.unknown.add(1);
    return;
  }
  conversations_.touch(*conversation, loop_.now(), true);
  waiting_ = false;
  const auto& peer = conversation->key;
  const bool has_local = peer.local != IpAddress{};
  udp_out_.add(conversation,
               {.fd = udp_.get(), .to = &peer.remote, .from = has_local ? &peer.local : nullptr},
               message.payload);
}

Client::Table::Entry* Client::open_conversation(const Peer& peer) noexcept {
  auto* entry = conversations_.insert(peer, loop_.now(), [this](Table::Entry& evicted) {
    counters_.evicted.add(1);
    close_conversation(evicted);
  });
  if (entry == nullptr) return nullptr;
  // There are as many identifiers as the table can have entries, so one is free.
  while (next_identifier_ == 0 || by_identifier_[next_identifier_] != nullptr) ++next_identifier_;
  entry->value.identifier = next_identifier_;
  by_identifier_[next_identifier_++] = entry;
  counters_.opened.add(1);
  return entry;
}

void Client::close_conversation(Table::Entry& entry) noexcept {
  by_identifier_[entry.value.identifier] = nullptr;
}

void Client::use(const NameLookup::Answer& answer) {
  const auto& name = config_.ticket.server.host;
  if (!answer) {
    log::warning("{}; asking again", answer.error().message);
    return;
  }
  for (const auto& ip : *answer) {
    const SocketAddress address{.ip = ip};  // ICMP has no ports
    if (socket_for(address) == nullptr) continue;
    if (server_ && *server_ == address) return;
    if (name != ip.to_string()) log::info("{} is {}", name, ip.to_string());
    server_ = address;
    return;
  }
  log::warning("{} has no address that this machine can reach; asking again", name);
}

void Client::look_up() {
  asked_ = loop_.now();
  lookup_->start(config_.ticket.server.host);
}

// What comes to an address that stands for all of them is told apart by the socket alone.
Result<> Client::start_loopback_ring() {
  const auto& listen = config_.listen;
  if (listen.ip.ipv6 || listen.ip == IpAddress{}) return {};
  auto ring = LoopbackRing::to(listen);
  if (ring && !LoopbackRing::stand_beside(udp_.get()))
    ring = fail_errno("attach a filter to a UDP socket");
  return use_loopback_ring(std::move(ring));
}

void Client::on_tick() {
  if (ring_ && forwards_ipv4()) leave_ring("this machine forwards packets now");
  const auto now = loop_.now();
  conversations_.expire(now - config_.limits.idle, [this](Table::Entry& entry) {
    counters_.expired.add(1);
    close_conversation(entry);
  });
  const bool silent = waiting_ && now - said_ >= config_.silence;
  if ((silent || !server_) && now - asked_ >= config_.silence &&
      !IpAddress::parse(config_.ticket.server.host)) {
    look_up();
  }
  tick_.set(now + std::min({config_.limits.idle / 4, config_.silence / 2,
                            std::chrono::milliseconds(5000)}));
}

}  // namespace

Result<std::unique_ptr<IcmpRelay>> start_icmp_relay_client(Loop& loop,
                                                           const IcmpRelayClientConfig& config) {
  auto client = std::make_unique<Client>(loop, config);
  if (auto started = client->start(); !started) return tl::unexpected(started.error());
  return client;
}

}  // namespace warren::carrier
