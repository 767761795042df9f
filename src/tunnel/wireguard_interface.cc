#include "tunnel/wireguard_interface.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <map>
#include <thread>

#include "core/log.h"
#include "linux/netns.h"

namespace warren::tunnel {

using wireguard::Endpoint;
using wireguard::Now;

namespace {

// What waits for sessions, a burst of datagrams being sealed, and some to spare.
constexpr std::size_t staged_packets = 128;
constexpr std::size_t pool_packets = staged_packets + 2 * Batch::capacity;
// Received at once: with merged datagrams a megabyte, which stays in the cache while it is opened.
constexpr std::size_t receive_limit = 16;
// In a row, before the device gets its turn.
constexpr int receive_rounds = 4;

// The programs that use the tunnel, and the kernel on their behalf, need cores as well. Beyond four
// the one that moves the packets is what limits.
unsigned suitable_threads() { return std::clamp(std::thread::hardware_concurrency() / 2, 1U, 4U); }

std::chrono::nanoseconds read_clock(clockid_t clock) noexcept {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Now read_clocks() noexcept {
  return {wireguard::Time(read_clock(CLOCK_BOOTTIME)), read_clock(CLOCK_REALTIME)};
}

SocketAddress to_socket_address(const Endpoint& endpoint) noexcept {
  return {endpoint.address, endpoint.port, endpoint.scope_id};
}

}  // namespace

Result<std::unique_ptr<WireguardInterface>> WireguardInterface::create(Loop& loop, Tun tun,
                                                                       Options options) {
  auto pool = Pool::create(pool_packets, Pool::super_packet_size);
  if (!pool) return tl::unexpected(pool.error());
  if (options.threads == 0) options.threads = suitable_threads();
  auto aead = crypto::Aead::create(options.aead, options.threads);
  if (!aead) return tl::unexpected(aead.error());
  std::unique_ptr<WireguardInterface> out(new WireguardInterface(
      loop, std::move(tun), std::move(options), std::move(*pool), std::move(*aead)));
  if (auto started = out->start(); !started) return tl::unexpected(started.error());
  return out;
}

WireguardInterface::WireguardInterface(Loop& loop, Tun tun, Options options,
                                       std::unique_ptr<Pool> pool, crypto::Aead aead)
    : loop_(loop),
      tun_(std::move(tun)),
      options_(std::move(options)),
      pool_(std::move(pool)),
      engine_(*this, *pool_, std::move(aead), {.staged_total = staged_packets}),
      names_(loop,
             [this](const auto& peer, const auto& endpoint) {
               engine_.set_endpoint(peer, endpoint, read_clocks());
               arm_timer();
             }),
      overlays_(*pool_, [this](Batch& packets) { send(packets); }),
      to_device_(tun_, to_device_counters_),
      device_watch_(loop, tun_, [this](const auto& link) { follow_device(link); }),
      routes_(loop, [this] { review_sources(); }),
      protocol_(loop, [this] {
        engine_.expire(read_clocks());
        arm_timer();
      }) {
  datagrams_.reserve(receive_limit);
}

WireguardInterface::~WireguardInterface() { engine_.set_up(false, read_clocks()); }

Result<> WireguardInterface::start() {
  PacketStream::Config config;
  config.fd = tun_.fd();
  config.offload_header = tun_.offloads().header;
  config.receiver = this;
  config.read_counters = &from_device_;
  config.write_counters = &to_device_counters_;
  auto stream = loop_.open_stream(config);
  if (!stream) return tl::unexpected(stream.error());
  stream_ = std::move(*stream);
  auto home = open_netns("");
  if (!home) return tl::unexpected(home.error());
  home_ = std::move(*home);
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  netlink_.emplace(std::move(*socket));
  if (auto watched = routes_.start(netlink::Events::Of::routes); !watched) return watched;
  const auto link = device_watch_.look();
  if (!link) return tl::unexpected(link.error());
  follow_device(*link);
  return {};
}

// Set-up.

Result<> WireguardInterface::configure(const wireguard::DeviceConfig& config) {
  Result<> done;
  if (config.listen_port) done = set_port(*config.listen_port);
  if (done && config.fwmark && *config.fwmark != mark_) {
    if (port_) done = port_->set_mark(*config.fwmark);
    if (done) mark_ = *config.fwmark;
  }
  if (done) done = engine_.configure(config, read_clocks());
  if (done) done = names_.update(config);
  arm_timer();
  return done;
}

// The old one stays where the new one cannot be had.
Result<> WireguardInterface::set_port(std::uint16_t port) {
  if (device_up_ && !(port_ && port == port_->port())) {
    if (auto opened = open_sockets(port); !opened) return opened;
    engine_.set_up(true, read_clocks());
  }
  wanted_port_ = port;
  return {};
}

Result<> WireguardInterface::open_sockets(std::uint16_t port) {
  const auto scope = NetnsScope::enter(home_.get());
  if (!scope) return tl::unexpected(scope.error());
  auto opened = UdpPort::open(port, mark_);
  if (!opened) return tl::unexpected(opened.error());
  if (auto done = opened->report_traffic_class(); !done) return done;
  std::vector<std::unique_ptr<Loop::Watch>> watches;
  for (const auto& socket : opened->sockets()) {
    auto watch = loop_.watch(socket.get(), [this, fd = socket.get()] { on_socket(fd); });
    if (!watch) return tl::unexpected(watch.error());
    watches.push_back(std::move(*watch));
  }
  close_sockets();
  port_ = std::move(*opened);
  socket_watches_ = std::move(watches);
  return {};
}

void WireguardInterface::close_sockets() noexcept {
  socket_watches_.clear();
  port_.reset();
}

wireguard::DeviceStatus WireguardInterface::status() const {
  return {engine_.private_key(), port_ ? port_->port() : wanted_port_, mark_};
}

std::vector<std::pair<std::string, std::string>> WireguardInterface::details() const {
  std::vector<std::pair<std::string, std::string>> details = {
      {"device", tun_.name()},
      {"encryption", fmt::format("{}, {} thread{}", crypto::Aead::name(options_.aead),
                                 options_.threads, options_.threads == 1 ? "" : "s")},
      {"port", port_ ? std::to_string(port_->port()) : "closed: the device is down"},
      {"peers", std::to_string(engine_.peer_count())},
      {"keys in memory",
       crypto::secrets_are_locked() ? "locked" : "not locked: raise LimitMEMLOCK"}};
  if (overlays_.fragments() != 0)
    details.emplace_back("fragments made", std::to_string(overlays_.fragments()));
  if (mark_ != 0) details.emplace_back("fwmark", fmt::format("{:#x}", mark_));
  return details;
}

// The device and the machine.

void WireguardInterface::follow_device(const netlink::Link& link) {
  engine_.set_mtu(link.mtu);
  overlays_.set_mtu(link.mtu);
  device_up_ = link.up;
  if (link.up && !port_) {
    if (auto opened = open_sockets(wanted_port_); !opened) {
      log::error(
          "{}: {}; the interface stays silent until it is set down and up again, or gets "
          "another port",
          link.name, opened.error().message);
      return;
    }
  } else if (!link.up) {
    close_sockets();
  }
  engine_.set_up(link.up, read_clocks());
  arm_timer();
}

// Where an address is gone, or the way to a peer now leads through another device, what we sent from
// so far would be wrong there. Addresses of the loopback device are right everywhere.
void WireguardInterface::review_sources() {
  std::map<int, std::vector<IpPrefix>> addresses;
  const auto has_address = [&](int device, const IpAddress& address) {
    auto [known, is_new] = addresses.try_emplace(device);
    if (is_new)
      if (const auto link = netlink_->link(device))
        known->second = netlink_->addresses(link->name).value_or(std::vector<IpPrefix>());
    return std::ranges::find(known->second, address, &IpPrefix::address) != known->second.end();
  };
  const auto loopback = netlink_->index("lo").value_or(0);
  engine_.review_sources([&](const Endpoint& endpoint) {
    const auto way = netlink_->route_to(endpoint.address, mark_);
    return way &&
           (has_address(way->device, *endpoint.source) || has_address(loopback, *endpoint.source));
  });
}

void WireguardInterface::arm_timer() noexcept {
  const auto deadline = engine_.deadline();
  if (deadline == wireguard::never) return protocol_.cancel();
  const auto now = wireguard::Time(read_clock(CLOCK_BOOTTIME));
  protocol_.set(Clock::now() + std::max(wireguard::Duration::zero(), deadline - now));
}

// The data path.

void WireguardInterface::on_packets(Batch& batch) noexcept {
  // A packet comes from a device that is up: the news of that is on its way.
  if (!port_)
    if (const auto link = device_watch_.look()) follow_device(*link);
  engine_.receive_packets(batch, read_clocks());
  arm_timer();
}

void WireguardInterface::send(Batch& packets) noexcept {
  engine_.receive_packets(packets, read_clocks());
  engine_.flush();
  arm_timer();
}

void WireguardInterface::on_stream_end(int error) noexcept { options_.on_device_gone(error); }

void WireguardInterface::on_socket(int fd) noexcept {
  for (int round = 0; round < receive_rounds; ++round) {
    const auto count = received_.receive(fd, receive_limit);
    datagrams_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const auto from = received_.sender(i);
      datagrams_.push_back({received_.data(i), received_.segment_size(i),
                            Endpoint{from.ip, from.port, from.scope, received_.local(i)},
                            received_.traffic_class(i)});
    }
    overlays_.engine_receives(true);
    engine_.receive_datagrams(datagrams_, read_clocks());
    overlays_.engine_receives(false);
    if (count < receive_limit) break;
  }
  overlays_.end_burst();
  arm_timer();
}

void WireguardInterface::send_datagrams(wireguard::DatagramBatch& datagrams) noexcept {
  std::array<SocketAddress, Batch::capacity> addresses;
  const void* conversation = nullptr;
  for (std::size_t i = 0; port_ && i < datagrams.packets.size(); ++i) {
    const auto& endpoint = datagrams.addresses[i];
    addresses[i] = to_socket_address(endpoint);
    const auto& offload = datagrams.packets.offload(i);
    const SendBatch::Datagram datagram{port_->socket_for(endpoint.address.ipv6), &addresses[i],
                                       endpoint.source ? &*endpoint.source : nullptr,
                                       offload.gso_size, datagrams.traffic_classes[i]};
    if (i == 0 || endpoint != datagrams.addresses[i - 1] ||
        datagram.traffic_class != datagrams.traffic_classes[i - 1])
      conversation = &addresses[i];
    if (offload.is_super_packet())
      writer_.add_segments(datagram, datagrams.packets.bytes(i));
    else
      writer_.add(conversation, datagram, datagrams.packets.bytes(i));
  }
  sent_ += writer_.flush();
  datagrams.packets.clear();
}

void WireguardInterface::deliver_packets(std::span<const std::span<std::byte>> packets) noexcept {
  for (const auto packet : packets)
    if (!overlays_.take(packet)) to_device_.add(packet);
  to_device_.flush();
  overlays_.deliver();
}

void WireguardInterface::lost_contact(const wireguard::PublicKey& peer) noexcept {
  names_.look_up_again(peer);
}

}  // namespace warren::tunnel
