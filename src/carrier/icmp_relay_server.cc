// The server side of the relay: clients that speak ICMP, and a local UDP service.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>

#include "carrier/conversations.h"
#include "carrier/echo_diverter.h"
#include "carrier/icmp_relay_end.h"
#include "core/log.h"

namespace warren::carrier {
namespace {

/// What tells conversations apart: a client, or the NAT in front of it, has an identifier for each.
struct ClientFlow {
  SocketAddress client;  // port 0
  IpAddress local;       // which of our addresses it talks to
  std::uint16_t identifier = 0;
  std::size_t user = 0;

  template <class Mix>
  void hash_into(Mix&& mix) const noexcept {
    mix(wire::load_raw<std::uint64_t>(std::as_bytes(std::span(client.ip.bytes)).data()));
    mix(wire::load_raw<std::uint64_t>(std::as_bytes(std::span(client.ip.bytes)).data() + 8));
    mix(std::uint64_t{identifier} << 32 | user);
  }
  friend bool operator==(const ClientFlow&, const ClientFlow&) = default;
};

bool contains(const IpPrefix& prefix, const IpAddress& address) noexcept {
  if (prefix.address.ipv6 != address.ipv6) return false;
  for (unsigned bit = 0; bit < prefix.length; bit += 8) {
    const auto mask = prefix.length - bit >= 8 ? 0xffU : 0xff00U >> (prefix.length - bit);
    if (((prefix.address.bytes[bit / 8] ^ address.bytes[bit / 8]) & mask & 0xffU) != 0)
      return false;
  }
  return true;
}

// As the kernel sees it, whatever made the address local.
bool is_local(const IpAddress& ip) noexcept {
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage name{};
  const auto length = SocketAddress{.ip = ip}.store(name);
  return fd && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) == 0;
}

class Server final : public IcmpRelayEnd {
 public:
  Server(Loop& loop, const IcmpRelayServerConfig& config)
      : IcmpRelayEnd(loop),
        config_(config),
        conversations_(config.limits.conversations),
        by_port_(std::size_t{1} << 16, nullptr),
        tick_(loop, [this] { on_tick(); }) {}

  Result<> start();

  std::size_t conversations() const noexcept override { return conversations_.size(); }

 private:
  struct Service {
    Fd fd;
    std::unique_ptr<Loop::Watch> watch;
    SocketAddress local;         // of the socket
    std::uint16_t sequence = 0;  // as it arrived, for `tutu`
    IcmpShortcut shortcut;
  };
  using Table = Conversations<ClientFlow, Service>;

  void restore(const IcmpSocket& socket, const EchoMessage& message) noexcept override;
  void carry(const LoopbackRing::Datagram& datagram) noexcept override;
  void on_replies(Table::Entry& conversation) noexcept;
  void write_replies(Table::Entry& conversation, const LoopbackRing::Datagram& datagram) noexcept;
  [[nodiscard]] bool may_open(const EchoMessage& message) const noexcept;
  Table::Entry* open_conversation(const ClientFlow& flow) noexcept;
  bool connect(Table::Entry& conversation) noexcept;
  void close_conversation(const Table::Entry& conversation) noexcept;
  Result<> start_loopback_ring();
  void on_tick();

  const IcmpRelayServerConfig config_;
  std::optional<EchoDiverter> diverter_;
  Table conversations_;
  std::vector<Table::Entry*> by_port_;  // of the socket; with a loopback ring
  Timer tick_;
};

Result<> Server::start() {
  std::vector<Tag> tags;
  for (const auto& user : config_.users) tags.push_back(user.tag);
  auto diverter = EchoDiverter::create(tags);
  if (!diverter) return tl::unexpected(diverter.error());
  diverter_.emplace(std::move(*diverter));
  if (auto opened = open_icmp(IcmpDirection::request, tags); !opened) return opened;
  if (config_.limits.ring) {
    start_ring(IcmpDirection::request, tags);
    if (auto started = start_loopback_ring(); !started) return started;
  }
  on_tick();
  return {};
}

// One for all services, where all of them are programs of this machine.
Result<> Server::start_loopback_ring() {
  std::vector<SocketAddress> services;
  for (const auto& user : config_.users) {
    if (std::ranges::find(services, user.to) != services.end()) continue;
    const auto& ip = user.to.ip;
    if (ip.ipv6 || ip == IpAddress{} || !is_local(ip)) return {};
    services.push_back(user.to);
  }
  if (services.size() > LoopbackRing::max_services) return {};
  return use_loopback_ring(LoopbackRing::from(services));
}

void Server::restore(const IcmpSocket& socket, const EchoMessage& message) noexcept {
  const ClientFlow flow{message.source, message.local, message.fields.identifier, message.user};
  auto* conversation = conversations_.find(flow);
  if (conversation == nullptr) {
    if (message.not_routed && !is_local(message.local)) return;  // it is being forwarded
    if (!may_open(message)) {
      counters_.pings.add(1);
      if (!icmp_out_.fits(2)) flush_out();
      socket.answer_ping(icmp_out_, message);
      return;
    }
    conversation = open_conversation(flow);
    if (conversation == nullptr) {
      counters_.table_full.add(1);
      return;
    }
  }
  conversations_.touch(*conversation, loop_.now(), false);
  conversation->value.sequence = message.fields.sequence;
  udp_out_.add(conversation, {.fd = conversation->value.fd.get()}, message.payload);
}

bool Server::may_open(const EchoMessage& message) const noexcept {
  if (config_.from && !contains(*config_.from, message.source.ip)) return false;
  return config_.any_first || is_wireguard_initiation(message.payload);
}

// Where no descriptor is to be had, or no memory, the table is as good as full.
Server::Table::Entry* Server::open_conversation(const ClientFlow& flow) noexcept {
  auto* entry = conversations_.insert(flow, loop_.now(), [this](Table::Entry& evicted) {
    flush_in();  // its descriptor and address may be in use there
    counters_.evicted.add(1);
    close_conversation(evicted);
  });
  if (entry == nullptr) return nullptr;
  if (connect(*entry)) {
    counters_.opened.add(1);
    return entry;
  }
  conversations_.erase(*entry);
  return nullptr;
}

bool Server::connect(Table::Entry& conversation) noexcept {
  auto& service = conversation.value;
  service.fd = open_udp_connection(config_.users[conversation.key.user].to);
  if (!service.fd) return false;
  auto watch = loop_.watch(service.fd.get(), [this, &conversation] { on_replies(conversation); });
  if (!watch) return false;
  service.watch = std::move(*watch);
  if (!has_loopback_ring()) return true;
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (::getsockname(service.fd.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0 ||
      !LoopbackRing::stand_beside(service.fd.get()))
    return false;
  service.local = SocketAddress::from(name);
  by_port_[service.local.port] = &conversation;
  return true;
}

void Server::close_conversation(const Table::Entry& conversation) noexcept {
  by_port_[conversation.value.local.port] = nullptr;
}

void Server::on_replies(Table::Entry& conversation) noexcept {
  for (int batch = 0; batch < max_batches; ++batch) {
    const auto count = in_.receive(conversation.value.fd.get());
    if (count == 0 && errno != EAGAIN) counters_.failed.add(1);  // "connection refused"
    for (std::size_t i = 0; i < count; ++i) write_replies(conversation, received(i));
    flush_out();
    if (count != 0) conversations_.touch(conversation, loop_.now(), true);
    if (count < ReceiveBatch::capacity) break;
  }
}

// A service may have others to talk to on this machine.
void Server::carry(const LoopbackRing::Datagram& datagram) noexcept {
  auto* conversation = by_port_[datagram.to.port];
  if (conversation == nullptr || conversation->value.local != datagram.to ||
      config_.users[conversation->key.user].to != datagram.from)
    return;
  counters_.local_ring.add(1);
  conversations_.touch(*conversation, loop_.now(), true);
  write_replies(*conversation, datagram);
}

void Server::write_replies(Table::Entry& conversation,
                           const LoopbackRing::Datagram& datagram) noexcept {
  const auto& flow = conversation.key;
  const EchoTarget target{.fields = {.direction = IcmpDirection::reply,
                                     .identifier = flow.identifier,
                                     .sequence = conversation.value.sequence},
                          .user = flow.user,
                          .to = flow.client,
                          .from = &flow.local};
  write_messages(datagram, *icmp_[flow.client.ip.ipv6 ? 1 : 0], target,
                 conversation.value.shortcut);
}

void Server::on_tick() {
  conversations_.expire(loop_.now() - config_.limits.idle, [this](Table::Entry& conversation) {
    counters_.expired.add(1);
    close_conversation(conversation);
  });
  tick_.set(loop_.now() + std::min(config_.limits.idle / 4, std::chrono::milliseconds(5000)));
}

Result<> check_users(const IcmpRelayServerConfig& config) {
  if (config.users.size() > IcmpRelayServerConfig::max_users)
    return fail(fmt::format("{} users are too many for a relay, which serves {}; run another one",
                            config.users.size(), IcmpRelayServerConfig::max_users),
                E2BIG);
  std::set<Tag> tags;
  for (const auto& user : config.users)
    if (!tags.insert(user.tag).second)
      return fail(fmt::format("two users have the tag {}", user.tag.to_string()), EEXIST);
  return {};
}

// Conversations need a descriptor each, and a few are for everything else.
Result<std::size_t> descriptor_budget(std::size_t wanted) {
  constexpr std::size_t others = 64;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("read the limit of open files");
  if (limit.rlim_cur < wanted + others) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted + others);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("raise the limit of open files");
  }
  if (limit.rlim_cur <= others)
    return fail(
        fmt::format("at most {} open files: too few for a relay (ulimit -n)", limit.rlim_cur));
  const auto budget = std::min<std::size_t>(wanted, limit.rlim_cur - others);
  if (budget < wanted)
    log::warning(
        "at most {} conversations at a time, and not {}: the limit of open files is {} "
        "(ulimit -n, LimitNOFILE=)",
        budget, wanted, limit.rlim_cur);
  return budget;
}

}  // namespace

Result<std::unique_ptr<IcmpRelay>> start_icmp_relay_server(Loop& loop,
                                                           const IcmpRelayServerConfig& config) {
  if (auto good = check_users(config); !good) return tl::unexpected(good.error());
  auto budget = descriptor_budget(config.limits.conversations);
  if (!budget) return tl::unexpected(budget.error());
  auto limited = config;
  limited.limits.conversations = *budget;
  auto server = std::make_unique<Server>(loop, limited);
  if (auto started = server->start(); !started) return tl::unexpected(started.error());
  return server;
}

}  // namespace warren::carrier
