/// For tests: the kernel programs of the ICMP carrier, loaded into a namespace of their own, and
/// run one packet at a time. What a message must look like is computed here the obvious way.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <icmp_carrier.skel.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "carrier/bpf/icmp_abi.h"
#include "carrier/flow_counts.h"
#include "carrier/icmp_constants.h"
#include "linux/netns.h"
#include "wire/bytes.h"
#include "wire/testing.h"

namespace warren::carrier::testing {

using wire::testing::Bytes;
using wire::testing::PacketSpec;
using wire::testing::put;

inline constexpr int go_on = TC_ACT_UNSPEC;
inline constexpr int shot = TC_ACT_SHOT;
inline constexpr int redirected = TC_ACT_REDIRECT;
inline constexpr std::uint64_t cache_holds_ns = 3'600'000'000'000;  // however busy the machine is
inline constexpr std::uint32_t loopback = 1;  // where bpf_prog_test_run puts packets

struct Outcome {
  int verdict = 0;
  Bytes bytes;
};

inline icmp_address address_of(const PacketSpec& spec, std::uint32_t host) {
  icmp_address out{};
  const auto bytes = wire::testing::address(spec, host);
  if (!spec.ipv6) out.word[2] = wire::network(std::uint32_t{0xffff});
  std::memcpy(spec.ipv6 ? out.word : out.word + 3, bytes.data(), bytes.size());
  return out;
}

/// Loads the programs, and fills their maps as the control plane does.
class Programs {
 public:
  /// Nothing where that fails, with errno: EPERM where this process may not use BPF.
  /// The guard serves the namespace with that cookie, 0: every one.
  static std::optional<Programs> load(std::string& why, std::uint64_t netns_cookie = 0) {
    if (::geteuid() != 0) {
      why = "needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, to load kernel programs";
      errno = EPERM;
      return std::nullopt;
    }
    Programs out;
    out.skeleton_.reset(icmp_carrier_bpf__open());
    if (out.skeleton_) {
      set_constants(*out.skeleton_, netns_cookie);
      out.skeleton_->rodata->cache_holds_ns = cache_holds_ns;
    }
    if (!out.skeleton_ || icmp_carrier_bpf__load(out.skeleton_.get()) != 0) {
      why = std::string("the kernel refused the programs: ") + std::strerror(errno);
      return std::nullopt;
    }
    return out;
  }

  [[nodiscard]] icmp_carrier_bpf& skeleton() { return *skeleton_; }

  void add_device(std::uint32_t index, icmp_device device) {
    device.ifindex = index;
    update(skeleton_->maps.devices, index % ICMP_DEVICES, device);
  }
  /// This host is a client of the destination of `spec`.
  void add_server(const PacketSpec& spec, std::uint16_t tag, std::uint8_t profile = 0) {
    const auto address = address_of(spec, spec.destination_host);
    const auto port = wire::network(spec.destination_port);
    icmp_server server{};
    server.tag = tag;
    server.profile = profile;
    EXPECT_TRUE(maps().servers.put(icmp_server_key{address, port, 0}, server));
    EXPECT_TRUE(
        maps().replies.put(icmp_reply_key{address, tag, profile, 0}, icmp_reply{{}, port, {}}));
    mark(spec.destination_port, &icmp_ports::servers);
  }
  /// This host serves `port`. The prefix, first packet and age of `user` are taken as they are.
  void add_user(std::uint16_t tag, std::uint16_t port, icmp_user user = any_user(),
                std::uint8_t profile = 0) {
    user.port = wire::network(port);
    EXPECT_TRUE(maps().users.put(icmp_user_key{tag, profile, 0}, user));
    mark(port, &icmp_ports::served);
  }
  static icmp_user any_user() {
    icmp_user user{};
    user.first = ICMP_FIRST_ANY;
    user.max_age = 100;
    return user;
  }

  [[nodiscard]] icmp_counts server_counts(const PacketSpec& spec) {
    const icmp_server_key key{address_of(spec, spec.destination_host),
                              wire::network(spec.destination_port), 0};
    return counts_of(read_counted_tables(maps())->servers, key);
  }
  [[nodiscard]] icmp_counts user_counts(std::uint16_t tag, std::uint8_t profile = 0) {
    return counts_of(read_counted_tables(maps())->users, icmp_user_key{tag, profile, 0});
  }
  /// The tables as the control plane has them.
  [[nodiscard]] IcmpMaps maps() const {
    const auto fd = [](bpf_map* map) { return Fd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0)); };
    const auto& all = skeleton_->maps;
    IcmpMaps maps;
    maps.servers = {fd(all.servers), fd(all.generation)};
    maps.replies = {fd(all.replies), fd(all.generation)};
    maps.users = {fd(all.users), fd(all.generation)};
    maps.sessions = BpfMap<icmp_session_key, icmp_session>(fd(all.sessions));
    maps.cache = FlowCache(fd(all.cache), fd(all.generation));
    return maps;
  }
  /// The session of the client that sent `spec`.
  [[nodiscard]] std::optional<icmp_session> session(const PacketSpec& spec) {
    icmp_session session{};
    if (!lookup(skeleton_->maps.sessions, session_key(spec), session)) return std::nullopt;
    return session;
  }
  static icmp_session_key session_key(const PacketSpec& spec) {
    return {address_of(spec, spec.source_host), wire::network(spec.source_port),
            wire::network(spec.destination_port)};
  }

  [[nodiscard]] std::uint64_t count(icmp_reason reason) {
    std::vector<std::uint64_t> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t key = reason;
    lookup(skeleton_->maps.drops, key, *per_cpu.data());
    std::uint64_t sum = 0;
    for (const auto value : per_cpu) sum += value;
    return sum;
  }

  /// `context` may set ifindex and gso_size; `flags` are those of BPF_PROG_TEST_RUN.
  Outcome run(bpf_program* program, const Bytes& packet, __sk_buff context = {},
              std::uint32_t flags = 0) {
    Outcome out;
    out.bytes.resize(packet.size() + 256);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(), .data_out = out.bytes.data(),
                .data_size_in = static_cast<std::uint32_t>(packet.size()),
                .data_size_out = static_cast<std::uint32_t>(out.bytes.size()), .flags = flags);
    if (bpf_program__type(program) != BPF_PROG_TYPE_XDP) {
      options.ctx_in = &context;
      options.ctx_size_in = sizeof context;
    }
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program), &options), 0)
        << std::strerror(errno);
    out.verdict = static_cast<int>(options.retval);
    out.bytes.resize(options.data_size_out);
    return out;
  }
  Outcome carry(const Bytes& packet, __sk_buff context = {}) {
    return run(skeleton_->progs.carry, packet, context);
  }
  Outcome restore(const Bytes& packet, std::uint32_t flags = 0) {
    return run(skeleton_->progs.restore, packet, {}, flags);
  }
  Outcome restore_xdp(const Bytes& packet) { return run(skeleton_->progs.restore_xdp, packet); }

  /// At BPF_TC_INGRESS or BPF_TC_EGRESS of a device of the calling thread's namespace.
  static void attach(bpf_program* program, std::uint32_t ifindex, bpf_tc_attach_point where) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(ifindex), .attach_point = where);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program));
    const int made = bpf_tc_hook_create(&hook);
    ASSERT_TRUE(made == 0 || made == -EEXIST) << std::strerror(-made);
    const int attached = bpf_tc_attach(&hook, &options);
    ASSERT_EQ(attached, 0) << std::strerror(-attached);
  }

  /// As if what is cached were too old.
  void outdate_cache() {
    EXPECT_TRUE(carrier::outdate_cache(bpf_map__fd(skeleton_->maps.generation)));
  }

  template <class Key, class Value>
  static void update(bpf_map* map, const Key& key, const Value& value) {
    EXPECT_EQ(bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY), 0)
        << bpf_map__name(map) << ": " << std::strerror(errno);
  }
  template <class Key, class Value>
  static bool lookup(bpf_map* map, const Key& key, Value& value) {
    return bpf_map_lookup_elem(bpf_map__fd(map), &key, &value) == 0;
  }

 private:
  template <class Key, class Value>
  static icmp_counts counts_of(const std::vector<std::pair<Key, Value>>& table, const Key& key) {
    for (const auto& [at, value] : table)
      if (std::memcmp(&at, &key, sizeof key) == 0) return value.counts;
    ADD_FAILURE() << "it is not in the table";
    return {};
  }
  void mark(std::uint16_t port, __u64 icmp_ports::* bits) {
    icmp_ports ports{};
    const std::uint32_t word = port / 64U;
    lookup(skeleton_->maps.ports, word, ports);
    ports.*bits |= __u64{1} << port % 64U;
    update(skeleton_->maps.ports, word, ports);
  }

  struct Destroy {
    void operator()(icmp_carrier_bpf* skeleton) const { icmp_carrier_bpf__destroy(skeleton); }
  };
  std::unique_ptr<icmp_carrier_bpf, Destroy> skeleton_;
};

inline std::uint32_t word(const Bytes& packet, std::size_t at) {
  return std::to_integer<std::uint32_t>(packet[at]) << 8 |
         std::to_integer<std::uint32_t>(packet[at + 1]);
}
inline void set_word(Bytes& packet, std::size_t at, std::uint32_t value) {
  packet[at] = static_cast<std::byte>(value >> 8);
  packet[at + 1] = static_cast<std::byte>(value);
}
inline Bytes part(const Bytes& packet, std::size_t from, std::size_t to) {
  return {packet.begin() + static_cast<std::ptrdiff_t>(from),
          packet.begin() + static_cast<std::ptrdiff_t>(to)};
}

/// For comparisons whose failure can be read.
inline std::string hex(const Bytes& packet) {
  std::string out;
  for (const auto byte : packet) {
    constexpr char digits[] = "0123456789abcdef";
    const auto value = std::to_integer<unsigned>(byte);
    out += {digits[value >> 4], digits[value & 15]};
  }
  return out;
}

/// What ICMP's checksum counts before the message: nothing, or the pseudo-header of IPv6.
inline Bytes icmp_pseudo_header(const PacketSpec& spec, std::size_t size) {
  Bytes out;
  if (!spec.ipv6) return out;
  put(out, wire::testing::address(spec, spec.source_host));
  put(out, wire::testing::address(spec, spec.destination_host));
  wire::testing::put(out, size, 4);
  wire::testing::put(out, 58, 4);
  return out;
}

/// 0 where a message that begins at `spec.l4()` has valid checksums, as tcpdump would see it.
inline std::uint16_t icmp_error_of(const PacketSpec& spec, const Bytes& packet) {
  auto summed = icmp_pseudo_header(spec, packet.size() - spec.l4());
  put(summed, part(packet, spec.l4(), packet.size()));
  return wire::testing::obvious_checksum(summed);
}

/// checksum + identifier (+ addresses), which names the user.
inline std::uint16_t tag_of(const PacketSpec& spec, const Bytes& packet) {
  Bytes summed;
  if (spec.ipv6) {
    put(summed, wire::testing::address(spec, spec.source_host));
    put(summed, wire::testing::address(spec, spec.destination_host));
  }
  put(summed, part(packet, spec.l4() + 2, spec.l4() + 6));
  return static_cast<std::uint16_t>(~wire::testing::obvious_checksum(summed));
}

/// The packet that `spec` describes, as the carrier sends it: everything but the 16 bits each of
/// checksum and sequence number, which are taken from `packet`.
inline Bytes expected_message(const PacketSpec& spec, const Bytes& packet, bool reply,
                              std::uint16_t identifier) {
  auto out = wire::testing::build(spec);
  const std::size_t l3 = spec.medium == Medium::ethernet ? 14 : 0;
  const auto l4 = spec.l4();
  if (spec.ipv6) {
    std::size_t protocol_at = l3 + 6;
    auto next = out[protocol_at];
    for (std::size_t at = l3 + 40; next != std::byte{17};
         at += 8 * (1 + std::to_integer<std::size_t>(out[at + 1]))) {
      protocol_at = at;
      next = out[at];
    }
    out[protocol_at] = std::byte{58};
  } else {
    out[l3 + 9] = std::byte{1};
    set_word(out, l3 + 10, 0);
    set_word(out, l3 + 10, wire::testing::obvious_checksum(part(out, l3, l4)));
  }
  const auto type = spec.ipv6 ? (reply ? 129 : 128) : (reply ? 0 : 8);
  set_word(out, l4, static_cast<std::uint32_t>(type << 8));
  set_word(out, l4 + 2, word(packet, l4 + 2));
  set_word(out, l4 + 4, identifier);
  set_word(out, l4 + 6, word(packet, l4 + 6));
  return out;
}

/// `message` is what the carrier makes of `spec`, for the user `tag`.
inline void expect_carried(const PacketSpec& spec, const Bytes& message, std::uint16_t tag,
                           bool reply = false) {
  const auto client_port = reply ? spec.destination_port : spec.source_port;
  EXPECT_EQ(hex(message), hex(expected_message(spec, message, reply, client_port)));
  EXPECT_EQ(icmp_error_of(spec, message), 0);
  EXPECT_EQ(tag_of(spec, message), tag);
}

/// A datagram of a client at host 1, port 40123, to the server at host 2, port 51820.
inline PacketSpec udp_packet(bool ipv6, std::size_t payload_size = 100) {
  wire::testing::Random random(payload_size);
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.ipv6 = ipv6;
  spec.tcp = false;
  spec.source_port = 40123;
  spec.destination_port = 51820;
  spec.payload = wire::testing::random_bytes(random, payload_size);
  return spec;
}
/// The first message of a WireGuard handshake.
inline PacketSpec initiation(bool ipv6) {
  auto spec = udp_packet(ipv6, 148);
  const std::byte start[] = {std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}};
  std::copy(std::begin(start), std::end(start), spec.payload.begin());
  return spec;
}
inline PacketSpec answer_to(PacketSpec spec) {
  std::swap(spec.source_port, spec.destination_port);
  std::swap(spec.source_host, spec.destination_host);
  return spec;
}

/// The part [from, to) of a datagram, as an IP fragment.
inline Bytes fragment_of(PacketSpec spec, std::size_t from, std::size_t to,
                         std::uint16_t id = 0x4444) {
  const auto datagram = build(spec);
  const bool more = spec.l4() + to < datagram.size();
  const auto data = part(datagram, spec.l4() + from, spec.l4() + to);
  if (spec.ipv6) {
    spec.first_extension = 44;
    spec.extensions.clear();
    wire::testing::put(spec.extensions, 17U << 8, 2);
    wire::testing::put(spec.extensions, from | (more ? 1 : 0), 2);
    wire::testing::put(spec.extensions, id, 4);
  } else {
    spec.id = id;
  }
  Bytes out = part(datagram, 0, 14);
  put(out, build_ip_header(spec, data.size()));
  if (!spec.ipv6) {
    set_word(out, 14 + 6, static_cast<std::uint32_t>(from / 8) | (more ? 0x2000U : 0U));
    set_word(out, 14 + 10, 0);
    set_word(out, 14 + 10, wire::testing::obvious_checksum(part(out, 14, out.size())));
  }
  put(out, data);
  return out;
}

/// What NAT does to a message on its way out: another source, another identifier, and a checksum
/// that is repaired by the difference (RFC 3022, section 4.2; RFC 1624).
inline Bytes translate(const PacketSpec& before, const PacketSpec& after, const Bytes& message,
                       std::uint16_t identifier) {
  const auto was = static_cast<std::uint16_t>(word(message, before.l4() + 4));
  auto out = expected_message(
      after, message,
      (word(message, before.l4()) >> 8) % 128 == 1 || word(message, before.l4()) >> 8 == 0,
      identifier);
  Bytes change;  // checksum' = ~(~checksum + ~old + new)
  wire::testing::put(change, static_cast<std::uint16_t>(~word(message, before.l4() + 2)), 2);
  wire::testing::put(change, static_cast<std::uint16_t>(~was), 2);
  wire::testing::put(change, identifier, 2);
  if (before.ipv6) {
    auto old = wire::testing::address(before, before.source_host);
    put(old, wire::testing::address(before, before.destination_host));
    for (auto& byte : old) byte = ~byte;
    put(change, old);
    put(change, wire::testing::address(after, after.source_host));
    put(change, wire::testing::address(after, after.destination_host));
  }
  set_word(out, after.l4() + 2, wire::testing::obvious_checksum(change));
  return out;
}

/// A namespace of its own, in which the programs are loaded and carry on the loopback device, which
/// is where bpf_prog_test_run puts packets.
class ProgramsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() == 0) {
      auto scope = NetnsScope::enter(create_netns()->get());
      ASSERT_TRUE(scope) << scope.error().message;
      scope_.emplace(std::move(*scope));
    }
    std::string why;
    programs_ = Programs::load(why);
    if (!programs_ && errno != EPERM) FAIL() << why;
    if (!programs_) GTEST_SKIP() << "kernel programs are not tested: " << why;
    add_device(loopback, 14, false);
  }
  void add_device(std::uint32_t ifindex, std::uint8_t link_header, bool software) {
    icmp_device device{};
    device.mtu = 1500;
    device.link_header = link_header;
    device.software = software;
    programs_->add_device(ifindex, device);
  }

  std::optional<NetnsScope> scope_;
  std::optional<Programs> programs_;
};

}  // namespace warren::carrier::testing
