#include "carrier/echo_diverter.h"

#include <fmt/format.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "carrier/icmp_filter.h"
#include "linux/nft_transaction.h"
#include "wire/bytes.h"
#include "wire/icmp.h"

namespace warren::carrier {
namespace {

// Registers.
constexpr std::uint32_t source_register = NFT_REG_1;
constexpr std::uint32_t destination_register = NFT_REG_2;
constexpr std::uint32_t zero_register = NFT_REG_3;
constexpr std::uint32_t identifier_register = NFT_REG32_12;
constexpr std::uint32_t checksum_register = NFT_REG32_13;
constexpr std::uint32_t scratch_register = NFT_REG32_14;
constexpr std::uint32_t key_register = NFT_REG32_00;  // where source_register is

// The sets of a table.
constexpr NftSet tags_set{"tags", 1};
constexpr NftSet codes_set{"codes", 2};
constexpr NftSet conversations_set{"conversations", 3};

constexpr std::uint32_t conversation_size = 12;
// As nft(8) shows it: ipv4_addr . ipv4_addr . mark.
constexpr std::uint32_t conversation_type = 7 << 12 | 7 << 6 | 19;
constexpr std::uint32_t max_conversations = 65536;
constexpr auto met_for = std::chrono::seconds(5);

// Later than any firewall's rules, and before connection tracking confirms. Diverted messages have
// another tag.
constexpr std::int32_t divert_priority = 250;
constexpr std::int32_t meet_priority = divert_priority - 1;
// Before connection tracking and everything else but the joining of fragments.
constexpr std::int32_t arrival_priority = -300;

constexpr std::uint32_t type_at = 0;
constexpr std::uint32_t identifier_at = 4;
constexpr std::uint32_t source_at = 8;
constexpr std::uint32_t destination_at = 24;
constexpr auto in_icmp = NFT_PAYLOAD_TRANSPORT_HEADER;
constexpr auto in_ip = NFT_PAYLOAD_NETWORK_HEADER;

void require_tag(NftTransaction& rules, bool ipv6) {
  const std::array<std::uint8_t, 16> zeros{};
  rules.set(zero_register, zeros);
  rules.load(in_icmp, identifier_at, 2, identifier_register);
  rules.store_in_icmp(identifier_at, 2, zero_register);
  if (ipv6) {
    rules.load(in_ip, source_at, 16, source_register);
    rules.load(in_ip, destination_at, 16, destination_register);
    rules.store_address6(source_at, zero_register);
    rules.store_address6(destination_at, zero_register);
  }
  rules.load(in_icmp, wire::IcmpView::checksum_at, 2, checksum_register);
  if (ipv6) {
    rules.store_address6(source_at, source_register);
    rules.store_address6(destination_at, destination_register);
  }
  rules.store_in_icmp(identifier_at, 2, identifier_register);
  rules.require_in_set(checksum_register, tags_set);
}

void require_transport(NftTransaction& rules, bool ipv6) {
  rules.load_meta(NFT_META_L4PROTO, scratch_register);
  rules.require_byte(scratch_register, ipv6 ? wire::ip_protocol::icmpv6 : wire::ip_protocol::icmp);
}
void require_network(NftTransaction& rules, bool ipv6) {
  rules.load_meta(NFT_META_NFPROTO, scratch_register);
  rules.require_byte(scratch_register, ipv6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
}

// Leaves the first word of the message in scratch_register. In the profile `warren` messages have the
// tag in a sum, those of `tutu` the user in the code.
void require_message(NftTransaction& rules, bool ipv6, std::uint8_t type, Profile profile) {
  rules.load(in_icmp, type_at, 2, scratch_register);
  if (profile == Profile::tutu) {
    rules.require_in_set(scratch_register, codes_set);
    return;
  }
  rules.require(scratch_register, type_word(type));
  require_tag(rules, ipv6);
  rules.load(in_icmp, type_at, 2, scratch_register);
}

// The sets of tags and codes; returns the profiles that users have.
std::vector<Profile> add_users(NftTransaction& rules, std::span<const Tag> users,
                               std::span<const std::uint8_t> types) {
  std::vector<std::uint16_t> tags;
  std::vector<std::uint16_t> codes;
  for (const auto& user : users) {
    if (user.profile == Profile::warren)
      tags.push_back(wire::network(user.value));
    else
      for (const auto type : types) codes.push_back(type_word(type) | wire::network(user.value));
  }
  std::vector<Profile> profiles;
  if (!tags.empty()) {
    rules.add_set(tags_set, tags);
    profiles.push_back(Profile::warren);
  }
  if (!codes.empty()) {
    rules.add_set(codes_set, codes);
    profiles.push_back(Profile::tutu);
  }
  return profiles;
}

void add_divert_rules(NftTransaction& rules, std::span<const Tag> users) {
  const std::string chain = "divert";
  rules.add_chain(chain, NF_INET_LOCAL_IN, divert_priority);
  const std::array types{request_type(false), request_type(true)};
  const auto profiles = add_users(rules, users, types);
  for (const bool ipv6 : {false, true}) {
    const auto change = type_word(request_type(ipv6)) ^ type_word(diverted_type(ipv6));
    for (const auto profile : profiles)
      rules.add_rule(chain, [&] {
        require_transport(rules, ipv6);
        require_network(rules, ipv6);
        require_message(rules, ipv6, request_type(ipv6), profile);
        rules.flip(scratch_register, static_cast<std::uint16_t>(change));
        rules.store_in_icmp(type_at, 2, scratch_register);
      });
  }
}

// As make_ring_filter() has it.
void require_in_ring(NftTransaction& rules) {
  rules.load(in_ip, wire::Ipv4View::fragment_word_at, 2, scratch_register);
  rules.require(scratch_register, wire::network(ring_fragment_word));
  rules.load(in_ip, wire::Ipv4View::total_length_at, 2, scratch_register);
  rules.require_at_most(scratch_register, wire::network(ring_max_length));
}

// Leaves what all messages of a conversation have in common in key_register: both addresses, and
// checksum with identifier.
void load_conversation(NftTransaction& rules) {
  rules.load(in_ip, wire::Ipv4View::source_at, 4, key_register);
  rules.load(in_ip, wire::Ipv4View::destination_at, 4, key_register + 1);
  rules.load(in_icmp, wire::IcmpView::checksum_at, 4, key_register + 2);
}

// `type`: of the messages.
void add_arrival_rules(NftTransaction& rules, const std::string& chain, std::uint8_t type) {
  rules.add_rule(chain, [&] {
    rules.load_meta(NFT_META_IIFKIND, source_register);
    rules.require_name(source_register, "bridge");
    rules.accept();
  });
  rules.add_rule(chain, [&] {
    require_transport(rules, false);
    require_in_ring(rules);
    rules.load(in_icmp, type_at, 2, scratch_register);
    rules.require(scratch_register, type_word(type));
    load_conversation(rules);
    rules.require_in_set(key_register, conversations_set);
    rules.drop();
  });
}

// Of the profile `tutu` each message has another checksum, so that its conversations are not met again.
void add_ring_rules(NftTransaction& rules, std::span<const Tag> users, IcmpDirection direction) {
  const auto type =
      direction == IcmpDirection::request ? request_type(false) : wire::icmp_type::echo_reply;
  const std::string arrival = "arrival", input = "input";
  rules.add_chain(arrival, NF_INET_PRE_ROUTING, arrival_priority);
  rules.add_chain(input, NF_INET_LOCAL_IN, meet_priority);
  rules.add_growing_set(conversations_set, conversation_type, conversation_size, max_conversations,
                        met_for);
  add_arrival_rules(rules, arrival, type);
  for (const auto profile : add_users(rules, users, {&type, 1})) {
    if (profile != Profile::warren) continue;
    rules.add_rule(input, [&] {
      require_transport(rules, false);
      rules.load_meta(NFT_META_PKTTYPE, scratch_register);
      rules.require_byte(scratch_register, PACKET_HOST);
      require_in_ring(rules);
      require_message(rules, false, type, profile);
      load_conversation(rules);
      rules.put_into_set(key_register, conversations_set);
    });
  }
}

Result<Fd> make_table(NftTransaction& rules, const char* purpose) {
  auto done = rules.commit();
  if (done) return done;
  const int code = done.error().code;
  const char* hint = code == EPERM ? "; run as root, or with CAP_NET_ADMIN"
                     : code == EOPNOTSUPP || code == EINVAL || code == ENOENT
                         ? "; it needs kernel 5.13 with CONFIG_NF_TABLES_INET (modprobe nf_tables)"
                         : "";
  return fail(fmt::format("{} (nf_tables table): {}{}", purpose, done.error().message, hint), code);
}

}  // namespace

Result<EchoDiverter> EchoDiverter::create(std::span<const Tag> tags) {
  NftTransaction rules(NFPROTO_INET, "warren-relay");
  add_divert_rules(rules, tags);
  return make_table(rules, "keep the kernel from answering the carried echo requests")
      .map([](Fd fd) { return EchoDiverter(std::move(fd)); });
}

Result<EchoDiverter> EchoDiverter::drop_what_ring_has(IcmpDirection direction,
                                                      std::span<const Tag> tags) {
  NftTransaction rules(NFPROTO_IPV4, "warren-relay");  // rings have no IPv6
  add_ring_rules(rules, tags, direction);
  return make_table(rules, "keep from IP what the ring has").map([](Fd fd) {
    return EchoDiverter(std::move(fd));
  });
}

}  // namespace warren::carrier
